"""Disks that are full, busy or slow, or that lose the end of a file."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.faults.inject.machine import NotPermitted, call, need

ATTACH_WITHIN_S = 10.0


class SmallDisk:
    """A disk of a few MB at `folder`. `resize` changes its size."""

    def __init__(self, megabytes: int) -> None:
        need("mount", "umount", root=True)
        self.folder = Path(tempfile.mkdtemp(prefix="relay-disk-"))
        try:
            call("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "relay-faults", str(self.folder))
        except NotPermitted:
            self.folder.rmdir()
            raise

    def resize(self, megabytes: int) -> None:
        call("mount", "-o", f"remount,size={megabytes}m", str(self.folder))

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Fills the disk, except for `leave_bytes`."""
        with contextlib.suppress(OSError), (self.folder / "filler").open("ab") as filler:
            filler.write(b"\0" * max(0, self.free_bytes - leave_bytes))

    def clear(self) -> None:
        """Frees the space that `fill` used."""
        (self.folder / "filler").unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the disk. No process may use it any more."""
        call("umount", str(self.folder))
        self.folder.rmdir()


@contextmanager
def busy_disk(folder: Path, writers: int = 3, megabytes: int = 64) -> Iterator[None]:
    """Runs `writers` processes that write and sync without a pause, on the disk of `folder`."""
    need("dd")
    scratch = Path(tempfile.mkdtemp(prefix="busy-", dir=folder))
    loop = 'while :; do dd if=/dev/zero of="$0" bs=1M count="$1" conv=fsync 2>/dev/null; done'
    running = [
        subprocess.Popen(
            ["sh", "-c", loop, str(scratch / str(number)), str(megabytes)], start_new_session=True
        )
        for number in range(writers)
    ]
    try:
        yield
    finally:
        for writer in running:
            os.killpg(writer.pid, signal.SIGKILL)  # the shell and its dd, which have their own session
            writer.wait()
        for number in range(writers):
            (scratch / str(number)).unlink(missing_ok=True)
        scratch.rmdir()


@contextmanager
def slow_sync(pid: int, delay_s: float) -> Iterator[None]:
    """Makes every fdatasync of the process `delay_s` longer. Raises NotPermitted if strace may not attach."""
    with _strace(pid, f"fdatasync:delay_enter={int(delay_s * 1_000_000)}"):
        yield


@contextmanager
def failing_sync(pid: int) -> Iterator[None]:
    """Makes every fdatasync of the process fail with EIO, as on a broken disk."""
    with _strace(pid, "fdatasync:error=EIO"):
        yield


@contextmanager
def _strace(pid: int, injection: str) -> Iterator[None]:
    need("strace")
    with tempfile.TemporaryFile() as words:
        tracer = subprocess.Popen(
            [
                "strace",
                "-f",
                "-p",
                str(pid),
                "-o",
                "/dev/null",
                "-e",
                "trace=fdatasync",
                "-e",
                f"inject={injection}",
            ],
            stderr=words,
        )
        try:
            deadline = time.monotonic() + ATTACH_WITHIN_S
            # strace says so itself: a process whose sync fails may have ended before anybody can look.
            while b" attached" not in (said := _read(words)):
                if tracer.poll() is not None or time.monotonic() > deadline:
                    raise NotPermitted(f"strace cannot attach: {said.decode().strip()}")
                time.sleep(0.02)
            yield
        finally:
            tracer.terminate()  # it detaches, and the process continues at its own pace
            try:
                tracer.wait(2)
            except subprocess.TimeoutExpired:  # it waits for a process that has ended and is a zombie
                tracer.kill()
                tracer.wait()


def _read(file: IO[bytes]) -> bytes:
    return os.pread(file.fileno(), 10_000, 0)


def _aof(folder: Path) -> Path:
    return max(folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)


def aof_bytes(folder: Path) -> int:
    """The present size of the append-only file of a server."""
    return _aof(folder).stat().st_size


def tear_tail(folder: Path, lose_bytes: int) -> int:
    """Cuts the last bytes off the append-only file of a server that is down. Returns `lose_bytes`."""
    size = aof_bytes(folder)
    os.truncate(_aof(folder), size - lose_bytes)
    return lose_bytes


def fill_with_zeros(folder: Path, count: int) -> int:
    """Appends `count` zeros to the append-only file of a server that is down. Returns `count`."""
    os.truncate(_aof(folder), aof_bytes(folder) + count)
    return count
