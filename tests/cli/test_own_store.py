"""The store that `up` brings along: it starts, keeps data, has one owner, and clears what a killed run left.

Each test that says nothing else runs twice: with the embedded Valkey on a socket, and with a server of the
user's on a port, as on Windows.
"""

import asyncio
import errno
import fcntl
import gc
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest
import redis

from services.cli import own_store, store_place
from services.cli.supervise import supervise
from services.relay.protocol.errors import ConfigError, RelayError
from tests.support.redis_server import binaries
from tests.support.waiting import until, until_other_processes


@pytest.fixture(params=["socket", "port"])
def server(request: pytest.FixtureRequest) -> Path | None:
    """The server that the settings name; None: the embedded Valkey."""
    return Path(binaries()["redis"]) if request.param == "port" else None


@asynccontextmanager
async def running(folder: Path, server: Path | None = None) -> AsyncIterator[redis.Redis]:
    """The store as `up` runs it, and a client of it by its url."""
    with own_store.held(folder):
        program = own_store.prepare(folder, server)[0]
        stop = asyncio.Event()
        task = asyncio.create_task(supervise([program], stop, asyncio.Event()))
        try:
            assert program.ready is not None
            await program.ready()
            with redis.Redis.from_url(own_store.url(folder) or "") as client:
                yield client
        finally:
            stop.set()
            assert await task == 0


@contextmanager
def orphan(folder: Path, server: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A store that no `up` looks after, listening."""
    store, url = own_store.prepare(folder, server)
    process = subprocess.Popen(store.argv, cwd=folder)
    try:
        until_other_processes(lambda: own_store.answers(url))
        yield process
    finally:
        process.kill()
        process.wait()


async def test_the_store_has_the_durability_that_the_relay_requires(
    tmp_path: Path, server: Path | None
) -> None:
    async with running(tmp_path / "data", server) as client:
        wanted = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
        }
        assert client.config_get(*wanted) == wanted


async def test_data_of_the_store_outlive_a_restart(tmp_path: Path, server: Path | None) -> None:
    async with running(tmp_path / "data", server) as client:
        client.set("kept", "yes")
    async with running(tmp_path / "data", server) as client:
        assert client.get("kept") == b"yes"


async def test_only_this_user_can_enter(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "store.conf").write_text("port 1\nrequirepass left-behind\n")
    async with running(folder):
        assert not (folder / "store.conf").exists()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "valkey.sock").stat().st_mode & 0o777 == 0o700
        assert (folder / "appendonlydir").stat().st_mode & 0o777 == 0o700


async def test_a_store_on_a_port_asks_for_a_password_and_listens_on_this_machine_only(tmp_path: Path) -> None:
    async with running(tmp_path, Path(binaries()["redis"])) as client:
        assert (tmp_path / "store.conf").stat().st_mode & 0o777 == 0o600
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        port = client.config_get("port")["port"]
        with redis.Redis(port=int(port)) as other, pytest.raises(redis.AuthenticationError):
            other.ping()


async def test_nobody_looks_for_a_store_on_a_port_after_its_end(tmp_path: Path) -> None:
    async with running(tmp_path, Path(binaries()["redis"])):
        assert own_store.url(tmp_path)
    assert own_store.url(tmp_path) is None


async def test_a_refused_second_run_leaves_the_first_one_reachable(tmp_path: Path) -> None:
    async with running(tmp_path, Path(binaries()["redis"])) as client:
        with (
            pytest.raises(ConfigError, match="another dayz-relay runs there"),
            own_store.held(tmp_path),
        ):
            raise AssertionError("locked twice")
        assert client.ping() and own_store.answers(own_store.url(tmp_path) or "")


async def test_data_written_on_a_socket_are_there_on_a_port_and_back(tmp_path: Path) -> None:
    async with running(tmp_path) as client:
        client.set("kept", "yes")
    redis_server = Path(binaries()["valkey"])  # an older Redis cannot read what a newer Valkey has written
    for server in (redis_server, None):
        async with running(tmp_path, server) as client:
            assert client.get("kept") == b"yes"


async def test_a_port_that_another_program_has_by_now_is_no_obstacle(tmp_path: Path) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n")
        writer.close()

    other = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with other:
        port = other.sockets[0].getsockname()[1]
        (tmp_path / "store.conf").write_text(f"port {port}\nrequirepass left-behind\n")
        await asyncio.to_thread(own_store.prepare, tmp_path, Path(binaries()["redis"]))
        assert own_store.url(tmp_path) != f"redis://:left-behind@127.0.0.1:{port}"


def test_settings_of_a_store_that_cannot_be_written_are_named_and_may_be_later(tmp_path: Path) -> None:
    (tmp_path / ".store.conf.new").mkdir()
    with pytest.raises(RelayError, match="--data .*: cannot be used: ") as caught:
        own_store.prepare(tmp_path, Path(binaries()["redis"]))
    assert not isinstance(caught.value, ConfigError)  # a restart, with room on the disk, may mend it


def test_a_disk_that_became_read_only_hides_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_store.held(tmp_path):
        monkeypatch.setattr(Path, "unlink", Mock(side_effect=OSError(errno.EROFS, "Read-only file system")))


def test_a_missing_server_program_is_named() -> None:
    with pytest.raises(ConfigError, match=r"redis\.server: /nowhere/redis-server is no program"):
        store_place.find_server("/nowhere/redis-server")


def test_without_an_embedded_valkey_a_server_is_searched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"no redis-server\.exe in this folder.*set server under \[redis\]"):
        store_place.find_server(None, needed=True)
    (tmp_path / "redis").mkdir()
    server = tmp_path / "redis" / "redis-server"
    server.touch(mode=0o700)
    assert store_place.find_server(None, needed=True) == server
    assert store_place.find_server(None, needed=False) is None


async def test_a_folder_whose_path_is_too_long_for_a_socket_has_a_store_too(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    for _ in range(2):
        async with running(folder) as client:
            assert client.ping()
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
            assert (folder / "store.conf").stat().st_mode & 0o777 == 0o600


async def test_a_store_is_found_by_a_relative_path_and_through_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink("data", "link")
    async with running(Path("data")):
        for name in ("data", "link"):
            url = own_store.url(Path(name))
            assert url and own_store.answers(url)


async def test_a_path_with_odd_characters_survives_the_url(tmp_path: Path) -> None:
    async with running(tmp_path / "da ta?#%25é") as client:
        assert client.ping()


def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with own_store.held(tmp_path):
        with (
            pytest.raises(ConfigError, match="another dayz-relay runs there"),
            own_store.held(tmp_path),
        ):
            raise AssertionError("locked twice")
    with own_store.held(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match="file/data: cannot be used: "),
        own_store.held(tmp_path / "file" / "data"),
    ):
        raise AssertionError("locked")


def test_a_file_system_without_locks_is_no_second_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ConfigError, match=f"--data {tmp_path}: cannot be used: No locks available"):
        own_store.lock(tmp_path)


async def test_an_orphan_is_ended_first_and_its_data_is_kept(tmp_path: Path, server: Path | None) -> None:
    with orphan(tmp_path, server) as process:
        with redis.Redis.from_url(own_store.url(tmp_path) or "") as client:
            client.set("kept", "yes")
        async with running(tmp_path, server) as client:
            assert process.wait(timeout=60) == 0
            assert client.get("kept") == b"yes"


def test_a_store_without_an_address_does_not_answer() -> None:
    assert not own_store.answers("")


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
        store_place.embedded()


async def test_a_wait_that_is_given_up_leaves_no_connection_open(tmp_path: Path) -> None:
    ready = own_store.prepare(tmp_path)[0].ready
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


async def test_zeros_that_a_power_cut_left_are_cut_off_and_logged_once(
    tmp_path: Path, server: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, server) as client:
        client.set("kept", "yes")
    tear(tmp_path)
    for _ in range(2):
        async with running(tmp_path, server) as client:
            assert client.get("kept") == b"yes"
    assert caplog.text.count("4,096 bytes behind its last whole record were cut off") == 1


async def test_files_torn_before_a_restart_are_mended_too(
    tmp_path: Path, server: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, server) as client:
        client.set("kept", "yes")
        os.kill(client.info("server")["process_id"], signal.SIGKILL)
        client.close()
        tear(tmp_path)
        await until(
            lambda: "were cut off" in caplog.text and own_store.answers(own_store.url(tmp_path) or "")
        )
        assert client.get("kept") == b"yes"


async def test_files_that_cannot_be_mended_now_are_named_and_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    program = own_store.prepare(tmp_path)[0]
    tear(tmp_path)
    (tmp_path / "cut-off").touch()  # where the folder for what is cut off would be
    with pytest.raises(RelayError, match=f"--data {tmp_path}: cannot be used: File exists"):
        own_store.prepare(tmp_path)
    assert program.mend
    assert program.mend(False) == [f"--data {tmp_path}: cannot be used: File exists"]
    (tmp_path / "cut-off").unlink()
    [said] = program.mend(False)
    assert "were cut off" in said


async def test_damage_that_no_power_cut_does_ends_the_supervision_and_is_named(
    tmp_path: Path, server: Path | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, server) as client:
        for number in range(9):
            client.set(f"key-{number}", "x" * 100)
    increment = tear(tmp_path)
    data = bytearray(increment.read_bytes()[:-4_096])
    data[300:400] = bytes(100)
    increment.write_bytes(data)
    program = own_store.prepare(tmp_path, server)[0]  # it ends well, so it was not read
    async with asyncio.timeout(60):
        assert await supervise([program], asyncio.Event(), asyncio.Event()) == 2
    assert f"{increment}: is damaged at byte" in caplog.text
