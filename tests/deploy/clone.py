"""A copy of this repository in which docker-compose.yml is used, as somebody who has cloned it does."""

import http.client
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.compose import ROOT
from tests.deploy.engine import Engine
from tests.deploy.own_engine import run

IMAGE = "dayz-relay:compose-test"
OWNER = 12_345
"""Whose the copy is, where root can give it away: then what another user makes there shows."""
SERVICE = "com.docker.compose.service"
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Project:
    engine: Engine
    folder: Path
    environ: dict[str, str]

    def compose(self, *args: str, check: bool = True, **environ: str) -> str:
        return self.engine.docker("compose", *args, check=check, folder=self.folder, **self.environ | environ)

    def containers(self) -> dict[str, str]:
        """The ids of the containers that run, by their services."""
        mine = f"label=com.docker.compose.project={self.environ['COMPOSE_PROJECT_NAME']}"
        form = f'{{{{.Label "{SERVICE}"}}}} {{{{.ID}}}}'
        listed = self.engine.docker("ps", "--filter", mine, "--format", form).splitlines()
        return dict(line.split() for line in listed)

    def inspect(self, service: str, form: str) -> str:
        return self.engine.docker("inspect", "--format", form, self.containers()[service]).strip()

    def logs(self, service: str) -> str:
        return self.engine.docker("logs", self.containers()[service])

    def until(self, true: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not true():
            assert time.monotonic() < deadline_s, self.compose("logs", "--tail", "20")
            time.sleep(0.3)

    def delivered(self) -> set[int]:
        """The numbers of the events of `SteadyMod` that Takaro has."""
        return {int(number) for number in re.findall(r"event-(\d+)\b", self.logs("demo-takaro"))}


def clone(engine: Engine, folder: Path, **environ: str) -> Project:
    listed = run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # Monitoring is started by nobody here, and its images are large.
    instead = {"image": IMAGE, "entrypoint": ["sleep", "infinity"], "command": []}
    services = engine.override | {"prometheus": instead, "grafana": instead}
    (folder / "override.json").write_text(json.dumps({"services": services}))
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, OWNER, OWNER)
    files = f"docker-compose.yml{os.pathsep}override.json"
    return Project(engine, folder, {"COMPOSE_FILE": files, "IMAGE": IMAGE, **environ})


class SteadyMod:
    """Sends events one by one, each until it is accepted."""

    def __init__(self, relay: Project) -> None:
        self.accepted = 0
        self._relay = relay
        self._port = int(relay.environ["MODS_PORT"])
        self._key = (relay.folder / "secrets" / "mod_key").read_text()

    def send(self) -> None:
        """Raises OSError or HTTPException if nobody answers; an event that was not accepted comes again."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            body = json.dumps({"events": [{"type": "log", "msg": f"event-{self.accepted + 1}"}]})
            connection.request("POST", f"/k/{self._key}/gameserver/1/events", body)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        self.accepted += answer.status == 200

    def wait_for(self, accepted: int) -> None:
        """Wait until this number of events was accepted in all."""
        self._relay.until(lambda: self.accepted >= accepted)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Some twenty a second."""
        ended = threading.Event()

        def sender() -> None:
            while not ended.wait(0.05):
                try:
                    self.send()
                except (OSError, http.client.HTTPException):
                    continue

        thread = threading.Thread(target=sender)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
