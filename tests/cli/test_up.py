"""`dayz-relay up` and `demo` as a person runs them: whole processes, the real store, clean ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from services.cli import local_token
from tests.support.ports import free_port
from tests.support.redis_server import binaries

pytestmark = pytest.mark.flow

ANY_PORTS = {f"RELAY_{name}": "0" for name in ("MODAPI__PORT", "MODAPI__ADMIN_PORT", "UPLINK__ADMIN_PORT")}


class UpProcess:
    """A `dayz-relay` process whose lines can be waited for."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, pattern: str) -> str:
        """The next line that has `pattern` in it; fails when the output ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line with {pattern!r} in:\n" + "\n".join(self.lines))

    def until_all(self, patterns: Iterable[str]) -> None:
        """Reads on until each of `patterns` was in a line."""
        missing = set(patterns)
        while missing:
            line = self.until("|".join(missing))
            missing = {pattern for pattern in missing if not re.search(pattern, line)}

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        assert self.process.stdout is not None
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait(timeout=60)


@contextmanager
def dayz_relay(
    folder: Path, *argv: str, environ: dict[str, str] | None = None, errors: IO[str] | int = subprocess.STDOUT
) -> Iterator[UpProcess]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("RELAY_", "TAKARO_"))}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "services.cli", *argv],
        cwd=folder,
        env={**clean, **ANY_PORTS, "TMPDIR": str(folder), **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    # A line that never comes ends as a failed test, not as a hung one.
    watchdog = threading.Timer(100, process.kill)
    watchdog.start()
    try:
        yield UpProcess(process)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_start_explains_itself_serves_and_ends_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    with dayz_relay(tmp_path, "up") as relay:
        relay.until("First start: relay.toml was created")
        relay.until("TakaroApiUrl")
        relay.until(r"Server main \(.*no Takaro registration token yet")
        relay.until("mods call 127.0.0.1:")
        assert relay.end(number) == 0
    assert not (tmp_path / "data" / "valkey.sock").exists()
    assert "bye bye" in (tmp_path / "data" / "valkey.log").read_text()


def test_a_server_of_the_users_own_is_run_as_the_store_and_ends_cleanly(tmp_path: Path) -> None:
    environ = {"RELAY_REDIS__SERVER": binaries()["redis"]}
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('of the working folder')")
    for _ in range(2):
        with dayz_relay(tmp_path, "up", environ=environ) as relay:
            relay.until("the store is there: Redis ")
            relay.until("mods call 127.0.0.1:")
            assert relay.end() == 0
        assert not (tmp_path / "data" / "store.conf").exists()
    assert (tmp_path / "data" / "store.log").read_text().count("bye bye") == 2


def test_services_of_up_show_the_room_on_the_disk_and_its_local_token_opens_the_api(
    tmp_path: Path,
) -> None:
    port = free_port()
    with dayz_relay(tmp_path, "up", environ={"RELAY_MODAPI__ADMIN_PORT": str(port)}) as relay:
        relay.until("mods call 127.0.0.1:")
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30, trust_env=False).text
        token_file = tmp_path / "data" / "admin-token"
        token = local_token.read(tmp_path / "data")
        assert token_file.stat().st_mode & 0o777 == 0o600 and len(token) >= 32
        api = f"http://127.0.0.1:{port}/api/v1/relay"
        codes = [
            httpx.get(
                api, headers={"authorization": f"Bearer {one}"}, timeout=30, trust_env=False
            ).status_code
            for one in (token, "no" + token)
        ]
        assert codes == [200, 401]
        assert relay.end() == 0
        assert not token_file.exists() and not any(token in line for line in relay.lines)
    shown = dict(re.findall(r"^dayz_relay_(store_disk_free_bytes|process_restarts_total) (\S+)$", text, re.M))
    assert float(shown["store_disk_free_bytes"]) > 0
    assert float(shown["process_restarts_total"]) == 0


def test_a_later_start_is_short_and_a_second_one_at_the_same_time_is_refused(tmp_path: Path) -> None:
    for _ in range(2):
        with dayz_relay(tmp_path, "up") as relay:
            relay.until("mods call 127.0.0.1:")
            with dayz_relay(tmp_path, "up") as second:
                second.until("dayz-relay: --data data: another dayz-relay runs there: stop it first")
                assert second.process.wait(timeout=60) == 2
                assert not any("Mods call" in line for line in second.lines)
            assert relay.end() == 0
    assert not any("First start" in line for line in relay.lines)


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        dayz_relay(
            tmp_path, "up", environ={"RELAY_UPLINK__ADMIN_PORT": str(taken.getsockname()[1])}
        ) as relay,
    ):
        relay.until(r"dayz-relay: uplink\.admin_port: cannot listen on .*Is another relay, or")
        assert relay.process.wait(timeout=60) == 2
        assert not any("Mods call" in line for line in relay.lines)


def test_files_that_cannot_be_mended_for_now_end_the_start_with_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "appendonlydir"
    folder.mkdir(parents=True)
    increment = "appendonly.aof.1.incr.aof"
    (folder / increment).write_bytes(b"*1\r\n$4\r\nPING\r\n" + bytes(10))  # a power cut left the zeros
    (folder / "appendonly.aof.manifest").write_text(f"file {increment} seq 1 type i\n")
    (tmp_path / "data" / "cut-off").touch()  # what is cut off cannot be kept, as on a full disk
    with dayz_relay(tmp_path, "up") as relay:
        relay.until("Mods call")
        assert relay.until("dayz-relay: --data .*/data: cannot be used: File exists")
        assert relay.process.wait(timeout=60) == 1
        assert relay.process.stdout is not None and relay.process.stdout.read() == ""
        assert "Traceback" not in "\n".join(relay.lines)
    assert (folder / increment).read_bytes().endswith(bytes(10))
    assert not (tmp_path / "data" / "admin-token").exists()


def test_a_setting_that_only_a_service_can_judge_ends_all_with_exit_code_2(tmp_path: Path) -> None:
    with dayz_relay(tmp_path, "up", environ={"RELAY_MODAPI__HOST": "192.0.2.1"}) as relay:
        relay.until(r"dayz-relay: modapi\.host: 192\.0\.2\.1 is no address of this machine")
        assert relay.process.wait(timeout=60) == 2


def test_the_environment_alone_needs_no_file(tmp_path: Path) -> None:
    environ = {"TAKARO_SERVER_NAME": "My server", "TAKARO_IDENTITY_TOKEN": "identity"}
    with dayz_relay(tmp_path, "up", environ=environ) as relay:
        relay.until(r'Server server \("My server"\): no Takaro registration token yet')
        relay.until("mods call 127.0.0.1:")
        assert relay.end() == 0
    assert not (tmp_path / "relay.toml").exists()


def test_the_demo_shows_events_and_requests_of_all_generations_and_leaves_nothing(tmp_path: Path) -> None:
    shown = [r"takaro +Demo \w+: \w+ answered in \d+ ms"]
    for generation in ("flat", "mixed", "scanner"):
        shown += [
            rf"dayz {generation} +registered as",
            rf"takaro +Demo {generation}: identified",
            rf'takaro +Demo {generation}: player-connected {{"player":{{"gameId":"7656',
        ]
    shown += [
        r"^look at it   the page: http://localhost:\d+/$",
        rf"^look at it   all servers: dayz-relay status --config {tmp_path}/\S+ --data {tmp_path}/\S+$",
        rf"^look at it   what passes: dayz-relay tail --config {tmp_path}/\S+ --data {tmp_path}/\S+$",
    ]
    # A setting of a real relay is none of the demo: here its mods would call in vain.
    with dayz_relay(tmp_path, "demo", environ={"BRIDGE_BIND_ADDR": "127.0.0.2"}) as relay:
        relay.until_all(shown)
        assert relay.end() == 0
    assert list(tmp_path.iterdir()) == []


def test_the_demo_ends_by_itself_after_the_given_time(tmp_path: Path) -> None:
    with dayz_relay(tmp_path, "demo", "--seconds", "1") as relay:
        assert relay.process.wait(timeout=60) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_demo_whose_output_nobody_reads_any_more_ends_without_a_traceback(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with said.open("w") as errors, dayz_relay(tmp_path, "demo", errors=errors) as relay:
        relay.until("identified")
        assert relay.process.stdout is not None
        relay.process.stdout.close()
        assert relay.process.wait(timeout=60) == 1
    assert "Traceback" not in said.read_text() and "fail" not in said.read_text()
