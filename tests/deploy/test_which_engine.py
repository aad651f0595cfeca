"""`make test` uses the engine of this machine if it can, and otherwise says why it does not."""

from pathlib import Path

import pytest

from tests.deploy.engine import Engine
from tests.deploy.which_engine import unusable


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        ("info*", "no container engine answers here"),
        ("compose*", "the engine of this machine has no Compose plugin"),
        ("*redis*", "the engine of this machine cannot fetch images"),
        ("image*", ""),  # it is fetched
        ("pull*", ""),  # it is there
    ],
)
def test_missing_abilities_of_the_engine_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, told: str
) -> None:
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\ncase "$*" in {fails}) exit 1 ;; esac\necho Server Version: 28\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert unusable(Engine({})) == told


def test_a_machine_without_docker_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert unusable(Engine({})) == "no container engine answers here"
