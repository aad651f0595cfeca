"""backup.sh, with programs in the place of those that need Redis: nothing is lost by a second call."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.compose import ROOT

REDIS_CLI = """\
flock --nonblock {folder}/backups true && exit 1  # another `now` could begin
echo copied >"$4"
"""


DATE = """\
cd {folder}
echo . >>calls
grep -c . calls
"""
"""Each call a later moment."""


class Container:
    """`folder` is in the place of the root of the container."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("backups", "data", "run/secrets", "bin"):
            (folder / name).mkdir(parents=True)
        (folder / "run/secrets/redis_password").write_text("secret")
        programs = {
            "redis-cli": REDIS_CLI.format(folder=folder),
            "getent": "exit 2",
            "chown": "",
            "date": DATE.format(folder=folder),
        }
        for name, text in programs.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}")
            (folder / "bin" / name).chmod(0o755)
        self.script = (ROOT / "deploy/compose/backup.sh").read_text()
        for name in ("/backups", "/data", "/run/secrets"):
            self.script = self.script.replace(name, f"{folder}{name}")

    def run(self, *words: str) -> None:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        subprocess.run(["sh", "-c", self.script, "backup.sh", *words], env={"PATH": path}, check=True)


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_a_copy_is_made_by_one_container_at_a_time(container: Container) -> None:
    container.run("now")
    assert len(list(container.folder.glob("backups/redis-*.tar.gz"))) == 1


def test_restoring_the_wrong_copy_first_keeps_the_data_before_it(container: Container) -> None:
    container.run("now")
    (copy,) = container.folder.glob("backups/redis-*.tar.gz")
    live = container.folder / "data" / "appendonlydir"
    live.mkdir()
    (live / "waiting").write_text("events")
    for _ in range(2):
        container.run("restore", copy.name)
    assert [path.read_text() for path in container.folder.glob("data/*/appendonlydir/waiting")] == ["events"]
