"""The Valkey that `up` brings along: starts, keeps data, has one owner, clears what a killed run left."""

import asyncio
import gc
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import redis

from services.cli import embedded
from services.cli.supervise import supervise
from services.relay.protocol.errors import ConfigError


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[redis.Redis]:
    """The embedded store as `up` runs it, and a client of it by its url."""
    with embedded.locked(folder):
        program = embedded.program(folder)
        stop = asyncio.Event()
        task = asyncio.create_task(supervise([program], stop, asyncio.Event()))
        try:
            assert program.ready is not None
            await program.ready()
            with redis.Redis.from_url(embedded.url(embedded.socket_path(folder))) as client:
                yield client
        finally:
            stop.set()
            assert await task == 0


@contextmanager
def orphan(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Valkey that no `up` looks after, listening."""
    process = subprocess.Popen(embedded.program(folder).argv)
    try:
        give_up_s = time.monotonic() + 20
        while not (folder / "valkey.sock").exists() and time.monotonic() < give_up_s:
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.wait()


async def test_it_has_the_durability_that_the_relay_requires(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as client:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
            "port": "0",
        }
        assert client.config_get(*wanted) == wanted


async def test_what_is_written_is_there_in_the_next_run(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as client:
        client.set("kept", "yes")
    async with running(tmp_path / "data") as client:
        assert client.get("kept") == b"yes"


async def test_only_this_user_can_enter(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with running(folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "valkey.sock").stat().st_mode & 0o777 == 0o700
        assert (folder / "appendonlydir").stat().st_mode & 0o777 == 0o700


async def test_a_folder_with_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    path = embedded.socket_path(folder)
    assert tmp_path not in path.parents
    assert path == embedded.socket_path(folder)
    assert path != embedded.socket_path(tmp_path / ("other" * 30))
    async with running(folder) as client:
        assert client.ping()
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.parent.exists()


async def test_a_folder_for_temporary_files_may_have_a_long_path_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 30)))
    async with running(tmp_path / ("long" * 30) / "data") as client:
        assert client.ping()


def test_a_socket_is_not_looked_for_in_a_folder_of_somebody_else(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    place = embedded.socket_path(folder).parent
    place.mkdir()
    try:
        place.chmod(0o755)
        with pytest.raises(ConfigError, match="open to others"):
            embedded.socket_path(folder)
    finally:
        place.rmdir()


async def test_a_path_with_odd_characters_survives_the_url(tmp_path: Path) -> None:
    async with running(tmp_path / "da ta?#%25é") as client:
        assert client.ping()


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with embedded.locked(tmp_path):
        with pytest.raises(ConfigError, match="another dayz-relay runs there"), embedded.locked(tmp_path):
            raise AssertionError("locked twice")
    with embedded.locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match="file/data: cannot be used: "),
        embedded.locked(tmp_path / "file" / "data"),
    ):
        raise AssertionError("locked")


async def test_an_orphan_is_ended_first_and_its_data_is_kept(tmp_path: Path) -> None:
    with orphan(tmp_path) as process:
        with redis.Redis(unix_socket_path=str(tmp_path / "valkey.sock")) as client:
            client.set("kept", "yes")
        async with running(tmp_path) as client:
            assert process.wait(timeout=20) == 0
            assert client.get("kept") == b"yes"


async def test_a_socket_that_nobody_serves_is_no_obstacle(tmp_path: Path) -> None:
    with orphan(tmp_path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / "valkey.sock").exists()
        async with running(tmp_path) as client:
            assert client.ping()


def test_a_platform_without_a_binary_is_told_to_bring_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"set redis\.url"):
        embedded.binary()


async def test_a_wait_that_is_given_up_leaves_no_connection_open(tmp_path: Path) -> None:
    ready = embedded.program(tmp_path).ready
    assert ready is not None
    with orphan(tmp_path):
        for steps in range(60):
            waiting = asyncio.create_task(ready())
            for _ in range(steps):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
    gc.collect()  # an open one is reported here, and fails the test


def tear(folder: Path) -> Path:
    """What a power cut leaves: the file is longer than what was written."""
    [increment] = (folder / "appendonlydir").glob("*.incr.aof")
    increment.write_bytes(increment.read_bytes() + bytes(4_096))
    return increment


async def test_zeros_that_a_power_cut_left_are_cut_off_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as client:
        client.set("kept", "yes")
    tear(tmp_path)
    for _ in range(2):
        async with running(tmp_path) as client:
            assert client.get("kept") == b"yes"
    assert caplog.text.count("4,096 bytes behind its last whole record were cut off") == 1


async def test_files_that_are_torn_when_it_is_started_again_are_mended_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as client:
        client.set("kept", "yes")
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
        client.close()
        tear(tmp_path)
        async with asyncio.timeout(20):
            while "were cut off" not in caplog.text or not embedded._answers(tmp_path / "valkey.sock"):
                await asyncio.sleep(0.02)
        assert client.get("kept") == b"yes"


async def test_damage_that_no_power_cut_does_ends_the_supervision_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as client:
        for number in range(9):
            client.set(f"key-{number}", "x" * 100)
    increment = tear(tmp_path)
    data = bytearray(increment.read_bytes()[:-4_096])
    data[300:400] = bytes(100)
    increment.write_bytes(data)
    program = embedded.program(tmp_path)  # it ends well, so it was not read
    async with asyncio.timeout(20):
        assert await supervise([program], asyncio.Event(), asyncio.Event()) == 2
    assert f"{increment}: is damaged at byte" in caplog.text
