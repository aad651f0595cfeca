"""Runs the relay as processes, a store and both services, which tests can kill and start again."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.cli import local_token
from services.relay.service.under_up import LOCAL_TOKEN_FILE
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, binaries

START_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0
LOCAL_TOKEN = "a-local-token-0123456789"


class Service:
    """`dayz-relay modapi` or `dayz-relay uplink`.

    `label` tells several of a kind apart. `entry` is the module that is run, `prefix` stands before the
    command ("ip netns exec"): something that becomes it, not its parent. `environ` is added to its
    environment.
    """

    def __init__(
        self,
        name: str,
        config: Path,
        admin_port: int,
        *,
        label: str = "",
        entry: str = "services.cli",
        prefix: Sequence[str] = (),
        admin_host: str = "127.0.0.1",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.label = label or name
        self.starts = 0
        self.log_path = config.with_name(f"{self.label}.log")
        self._command = (*prefix, sys.executable, "-m", entry, name, "--config", str(config))
        self.admin = f"http://{admin_host}:{admin_port}"
        self._folder: Path | None = None
        self._environ = environ or {}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended. It may be frozen."""
        return self._process is not None and self._process.returncode is None

    def run_from(self, tree: Path) -> None:
        """Run the code of another working tree, with the Python of its .venv."""
        at = self._command.index(sys.executable)
        python = str(tree / ".venv/bin/python")
        self._command = (*self._command[:at], python, *self._command[at + 1 :])
        self._folder = tree

    async def start(self) -> None:
        await self.begin()
        await self.until_ready()

    async def begin(self) -> None:
        """Start it without waiting until it is ready."""
        self.starts += 1
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **self._environ},
            )

    async def until_ready(self) -> None:
        assert self._process
        async with asyncio.timeout(START_WITHIN_S):
            while not await self.ready():
                assert self._process.returncode is None, self.log
                await asyncio.sleep(0.05)

    async def ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            # verify=False: to load the certificates of the machine for a plain http:// takes 20 ms of CPU.
            async with httpx.AsyncClient(verify=False) as client:
                return (await client.get(f"{self.admin}/readyz")).status_code == 200
        return False

    async def metrics(self) -> dict[str, float]:
        """All series, by name and labels as Prometheus writes them."""
        async with httpx.AsyncClient(timeout=30) as client:
            text = (await client.get(f"{self.admin}/metrics")).text
        return {
            sample.name + ",".join(f"{{{k}={v}}}" for k, v in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def kill(self) -> None:
        """Kills the process."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Freeze it: its connections stay open, and nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it continue after a freeze."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> int:
        """Sends SIGTERM, and returns the exit code."""
        assert self._process
        if self._process.returncode is None:
            self._process.terminate()
        return await asyncio.wait_for(self._process.wait(), STOP_WITHIN_S)

    async def ended(self) -> int:
        """Wait until the process ends. Returns its exit code."""
        assert self._process
        return await self._process.wait()

    async def restart_after_crash(self) -> None:
        self.kill()
        await self.ended()
        await self.start()

    @property
    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""


class RelayProcess:
    """One relay with its own store. `instances` are TOML blocks without their [[instance]] line."""

    def __init__(self, takaro_url: str, instances: Sequence[str], registration_token: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="relay-flow-"))
        self.store = RedisServer(binaries()["valkey"])
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        admin_ports = free_port(), free_port()
        config = self.folder / "relay.toml"
        blocks = "".join(f"[[instance]]\n{block}\n" for block in instances)
        config.write_text(
            f'[takaro]\nurl = "{takaro_url}"\nregistration_token = "{registration_token}"\n'
            f'[redis]\nurl = "{self.store.url}"\n'
            f"[modapi]\nport = {self.port}\nadmin_port = {admin_ports[0]}\n"
            f"[uplink]\nadmin_port = {admin_ports[1]}\n{blocks}"
        )
        os.chmod(config, 0o600)
        self.data = self.folder / "data"
        self.data.mkdir()
        token_file = self.data / local_token.NAME
        token_file.write_text(LOCAL_TOKEN)
        environ = {LOCAL_TOKEN_FILE: str(token_file)}  # as `up` does it
        self.modapi = Service("modapi", config, admin_ports[0], environ=environ)
        self.uplink = Service("uplink", config, admin_ports[1])

    def run_from(self, tree: Path) -> None:
        """Run both services from another working tree."""
        self.modapi.run_from(tree)
        self.uplink.run_from(tree)

    async def start(self) -> None:
        await asyncio.to_thread(self.store.start)
        await asyncio.gather(self.modapi.start(), self.uplink.start())

    async def stop(self) -> list[int]:
        """Stop both services. Returns their exit codes."""
        try:
            return list(await asyncio.gather(self.modapi.stop(), self.uplink.stop()))
        finally:
            self.store.remove()

    async def restart_store(self) -> None:
        """Kill the store and start it again with what is on its disk."""
        await asyncio.to_thread(self.store.kill)
        await asyncio.to_thread(self.store.start)
