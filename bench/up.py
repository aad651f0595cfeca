"""`dayz-relay up` as a user runs it, with its own store: all of its processes."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.support.ports import free_port

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 30.0
LOOK_EVERY_S = 0.1

NAMES = {"modapi": "modapi", "uplink": "uplink", "valkey-server": "store"}
"""A word of each child's command line, and the name of that process in the results."""


class Up:
    """The supervisor and its children. `instances` are TOML blocks without their [[instance]] line."""

    def __init__(
        self, takaro_url: str, instances: list[str], registration_token: str, tree: Path | None
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relay-"))
        self.port, self._uplink_port = free_port(), free_port()
        self._tree = tree
        config = self.folder / "relay.toml"
        blocks = "".join(f"[[instance]]\n{block}\n" for block in instances)
        config.write_text(
            f'[takaro]\nurl = "{takaro_url}"\nregistration_token = "{registration_token}"\n'
            f"[modapi]\nport = {self.port}\nadmin_port = {free_port()}\n"
            f"[uplink]\nadmin_port = {self._uplink_port}\n{blocks}"
        )
        config.chmod(0o600)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> Path:
        """Of the store."""
        return self.folder / "data" / "valkey.sock"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def start(self) -> None:
        python = str(self._tree / ".venv/bin/python") if self._tree else sys.executable
        argv = [python, "-m", "services.cli", "up", "--config", str(self.folder / "relay.toml")]
        argv += ["--data", str(self.folder / "data")]
        with (self.folder / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *argv, stdout=log, stderr=log, cwd=self._tree
            )
        deadline_s = time.monotonic() + READY_WITHIN_S
        while len(self.pids) < 1 + len(NAMES) or not await self._serves():
            assert self._process.returncode is None and time.monotonic() < deadline_s, self.log
            await asyncio.sleep(LOOK_EVERY_S)

    @property
    def pids(self) -> dict[str, int]:
        """By the names of the results. Children that have not become their program are missing."""
        assert self._process
        supervisor = self._process.pid
        found = {"supervisor": supervisor}
        for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            words = [os.path.basename(words[0].split()[0]), *words[1:5]] if words[0] else []
            found |= {name: int(child) for word, name in NAMES.items() if word in words}
        return found

    async def _serves(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def stop(self) -> None:
        assert self._process
        if self._process.returncode is None:
            self._process.terminate()
        await asyncio.wait_for(self._process.wait(), STOP_WITHIN_S)
        shutil.rmtree(self.folder, ignore_errors=True)
