"""Each injected fault really happens. Otherwise its scenarios would prove nothing."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.faults.inject.clock import WrongClock
from tests.faults.inject.disk import SmallDisk, busy_disk, failing_sync, slow_sync, tear_tail
from tests.faults.inject.island import Island
from tests.faults.inject.machine import NotPermitted
from tests.support.redis_server import RedisServer, binaries
from tests.support.redis_sets import until

T = TypeVar("T")


def made(make: Callable[[], T]) -> T:
    try:
        return make()
    except NotPermitted as reason:
        pytest.skip(str(reason))


@contextmanager
def entered(fault: AbstractContextManager[T]) -> Iterator[T]:
    with ExitStack() as stack:
        yield made(lambda: stack.enter_context(fault))


@pytest.fixture(params=sorted(binaries()))
def binary(request: pytest.FixtureRequest) -> str:
    return binaries()[request.param]


@pytest.fixture
def server(binary: str) -> Iterator[RedisServer]:
    server = RedisServer(binary)
    server.start()
    yield server
    server.remove()


REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), timeout=0.7)
except ConnectionRefusedError:
    print("there")  # nobody listens, but somebody says so
except OSError:
    pass
"""


def reaches(prefix: tuple[str, ...], address: str) -> bool:
    command = [*prefix, sys.executable, "-c", REACH, address]
    return b"there" in subprocess.run(command, capture_output=True, timeout=30).stdout


def can_reach(*ways: tuple[tuple[str, ...], str]) -> bool:
    """Whether each way leads there. A machine that stands still may be late for an answer."""
    return all(until(lambda way=way: reaches(*way)) for way in ways)  # type: ignore[misc]


def test_an_island_is_reached_through_the_switch_until_it_is_cut() -> None:
    with entered(Island()) as island:
        assert can_reach(((), island.address), (island.prefix, island.mainland))
        island.cut()
        assert not reaches((), island.address)
        assert not reaches(island.prefix, island.mainland)
        assert can_reach(((), island.mods_at), (island.prefix, island.oracle))
        assert can_reach((island.prefix, island.address))  # processes on the island reach each other
        island.join()
        assert can_reach(((), island.address), (island.prefix, island.mainland))


def test_a_small_disk_fills_and_is_freed() -> None:
    disk = made(lambda: SmallDisk(4))
    try:
        disk.fill(leave_bytes=8192)
        assert 0 < disk.free_bytes <= 16_384
        with pytest.raises(OSError, match="No space"):
            (disk.folder / "more").write_bytes(b"x" * 100_000)
        disk.resize(8)
        (disk.folder / "more").write_bytes(b"x" * 100_000)
        disk.clear()
        assert disk.free_bytes > 7 << 20
    finally:
        disk.remove()


def test_a_busy_disk_leaves_no_file_behind(tmp_path: Path) -> None:
    with busy_disk(tmp_path, writers=2, megabytes=1):
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("*/*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert list(tmp_path.glob("*/*"))
    assert not list(tmp_path.iterdir())


def test_a_slow_sync_delays_each_write(server: RedisServer) -> None:
    def write_takes_s() -> float:
        begun = time.monotonic()
        server.ask("SET", "a", "1")
        return time.monotonic() - begun

    with entered(slow_sync(server.pid, 2.0)):
        assert write_takes_s() >= 2.0
    until(lambda: write_takes_s() < 2.0)  # the disk of a busy machine may be slow by itself


def test_a_failing_sync_ends_a_server_that_promised_to_sync_always(server: RedisServer) -> None:
    with entered(failing_sync(server.pid)), pytest.raises(Exception, match=r".*"):
        server.ask("SET", "a", "1")


def test_a_torn_tail_loses_only_the_last_write(server: RedisServer) -> None:
    server.ask("SET", "a", "1")
    server.ask("SET", "b", "1")
    server.kill()
    assert tear_tail(server.folder, 3) == 3
    server.start()
    assert server.ask("MGET", "a", "b") == ["1", None]


@pytest.mark.parametrize("seconds", [60, -60, 3600])
def test_a_wrong_clock_changes_only_the_time_of_the_server(binary: str, seconds: int) -> None:
    clock = made(WrongClock)
    server = RedisServer(binary, prefix=clock.prefix)
    try:
        server.start()
        assert abs(int(server.ask("TIME")[0]) - time.time()) < 5
        server.ask("SET", "lease", "1", "PX", 30_000)
        clock.move(seconds)
        # Valkey keeps a time for a millisecond: in 18 of 40 tries it told the one from before.
        until(lambda: abs(int(server.ask("TIME")[0]) - time.time() - seconds) < 5)
        assert server.ask("EXISTS", "lease") == (0 if seconds > 30 else 1)
    finally:
        server.remove()
        clock.remove()
