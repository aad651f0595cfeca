"""`dayz-relay doctor`, on a store that a test has filled."""

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from services.cli import doctor_elsewhere, doctor_here
from services.cli.verdict import VerdictLevel, good
from services.relay.protocol.keys import ADMIN_PORTS
from services.relay.service.http.admin_ports import note, noted
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import load
from services.relay.store.client import Store
from tests.cli.conftest import is_up
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, binaries
from tests.support.terminal import Terminal
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
INSTANCE = """
[[instance]]
slug = "{slug}"
name = "{name}"
identity_token = "identity-of-{slug}-0123456789"
mod_keys = ["mod-key-of-{slug}-0123456789"]
"""
HOSTILE = "Server \u6771\u4eac"


class Machine(Terminal):
    """A machine with the settings of a relay and its Redis, on which no service runs."""

    def __init__(self, folder: Path, server: RedisServer) -> None:
        super().__init__(folder)
        self.server = server

    def fill(self, fill: Callable[[Store], Awaitable[object]]) -> None:
        async def filled() -> None:
            store = Store(self.server.url)
            await fill(store)
            await store.close()

        asyncio.run(filled())


def settings(redis_url: str, takaro_url: str = "ws://127.0.0.1:1/") -> str:
    return (
        f'[takaro]\nurl = "{takaro_url}"\nregistration_token = "token"\n[redis]\nurl = "{redis_url}"\n'
        f"[modapi]\nport = {free_port()}\nadmin_port = {free_port()}\n[uplink]\nadmin_port = {free_port()}\n"
        + INSTANCE.format(slug="one", name="Server one")
        + INSTANCE.format(slug="two", name=HOSTILE)
    )


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Machine]:
    server = RedisServer(binaries()["valkey"])
    server.start()
    path = tmp_path / "relay.toml"
    path.write_text(settings(server.url))
    path.chmod(0o600)
    yield Machine(tmp_path, server)
    server.remove()


def test_without_a_store_doctor_says_how_to_name_one(tmp_path: Path) -> None:
    terminal = Machine(tmp_path, RedisServer(binaries()["valkey"]))
    (tmp_path / "relay.toml").write_text(settings("x").replace('[redis]\nurl = "x"\n', ""))
    said = terminal.run("doctor", code=1)
    assert "no relay runs there" in said and "modapi does not run here" in said
    _, behind = said.split("\nServices\n")
    assert behind.startswith("  note     the relay does not run here\n  fix      `dayz-relay up` starts it\n")
    assert said.index("\nServices\n") < said.index("\nRedis\n") and "`dayz-relay modapi`" not in said
    assert "\nServers\n  note     not looked at" in said


def test_doctor_names_the_file_that_keeps_the_store_of_up_from_starting(tmp_path: Path) -> None:
    terminal = Machine(tmp_path, RedisServer(binaries()["valkey"]))
    (tmp_path / "relay.toml").write_text(settings("x").replace('[redis]\nurl = "x"\n', ""))
    folder = tmp_path / "data" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")
    increment = folder / "appendonly.aof.1.incr.aof"
    increment.write_bytes(b"*1\r\n$4\r\nPING\r\ndamage")
    said = terminal.run("doctor", code=1)
    assert f"{increment.relative_to(tmp_path)}: is damaged at byte 14 of 20" in said
    assert "restore the folder from a backup" in said
    increment.write_bytes(b"*1\r\n$4\r\nPING\r\n\0\0\0")
    assert "a power cut has torn the end of a file: `dayz-relay up` mends it" in terminal.run(
        "doctor", code=1
    )


def test_settings_of_the_environment_make_no_file_valid(terminal: Machine) -> None:
    (terminal.folder / "relay.toml").unlink()
    terminal.environ |= {"RELAY_REDIS__URL": terminal.server.url, "RELAY_TAKARO__URL": "ws://127.0.0.1:1/"}
    said = terminal.run("doctor", code=1)
    assert "the environment is valid" in said and "relay.toml and" not in said


def test_doctor_names_each_problem_with_its_fix(terminal: Machine) -> None:
    (terminal.folder / "relay.toml").chmod(0o644)
    said = terminal.run("doctor", code=1)
    for words in (
        "others on this machine can read it (mode 0644)",
        "appendfsync always",
        "modapi does not run here",
        "uplink does not run here",
        "ws://127.0.0.1:1/ cannot be reached",
        "two: its mod has never called",
    ):
        assert words in said
    slow = "is it far away, or its machine busy?" in said  # a note about Redis, if this machine is busy
    assert f"5 problems; {4 + slow} notes." in said
    assert "identity-of-one" not in said and "mod-key-of" not in said
    told = json.loads(terminal.run("doctor", "--json", code=1))
    assert not told["ok"] and {verdict["level"] for verdict in told["verdicts"]} == {"ok", "note", "problem"}
    sections = [verdict["section"] for verdict in told["verdicts"]]
    assert list(dict.fromkeys(sections)) == ["Settings", "Services", "Redis", "Takaro", "Servers"]


def test_doctor_counts_the_servers_that_are_up_and_names_the_others(terminal: Machine) -> None:
    terminal.fill(lambda store: is_up(store, "one"))
    said = terminal.run("doctor", code=1)
    servers = said[said.index("\nServers\n") :]
    assert servers.count("two: ") == 2 and "one" not in servers and "ok       1 up\n" in servers


def test_doctor_reports_a_store_that_is_away_and_servers_that_it_could_not_check(terminal: Machine) -> None:
    terminal.server.kill()
    said = terminal.run("doctor", code=1)
    assert "Redis: nobody listens on " in said and "Errno" not in said and "\nServers\n" in said


def test_doctor_sees_a_store_that_could_lose_events(terminal: Machine) -> None:
    async def weaken(store: Store) -> None:
        await store.send("CONFIG", "SET", "appendfsync", "everysec")

    terminal.fill(weaken)
    assert "Fix: CONFIG SET appendfsync always" in terminal.run("doctor", code=1)


def test_doctor_names_the_other_program_on_a_port(terminal: Machine) -> None:
    port = int(re.findall(r"^port = (\d+)", (terminal.folder / "relay.toml").read_text(), re.MULTILINE)[0])
    with socket.create_server(("127.0.0.1", port)):
        said = terminal.run("doctor", code=1)
    assert f"something listens on 127.0.0.1:{port}, where mods call, and modapi does not answer" in said


@contextlib.contextmanager
def running_service(**about: object) -> Iterator[int]:
    """The port of something that answers as a service of ours does."""

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"ok": True, **about}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service.server_port
        service.shutdown()


def note_it(terminal: Machine, service: str, port: int) -> None:
    async def write(store: Store) -> None:
        for earlier in await store.send("ZRANGE", ADMIN_PORTS, 0, -1):  # notes of one second have no order
            await store.send("ZINCRBY", ADMIN_PORTS, -1, earlier)
        noting = asyncio.create_task(note(store, service, "127.0.0.1", port))
        await until(lambda: noted(store, service), met=lambda found: ("127.0.0.1", port) in found)
        await cancelled(noting)

    terminal.fill(write)


@pytest.mark.parametrize("configured", ["another", "any free one"])
def test_doctor_finds_a_service_whose_admin_port_was_changed_without_a_restart(
    terminal: Machine, configured: str
) -> None:
    new = free_port() if configured == "another" else 0
    terminal.environ["RELAY_UPLINK__ADMIN_PORT"] = str(new)
    note_it(terminal, "uplink", free_port())  # one that is gone
    with running_service(restart_needed_for=["[uplink] admin_port"]) as port:
        note_it(terminal, "uplink", port)
        said = terminal.run("doctor", code=1)
    moved = f"note     uplink runs on 127.0.0.1:{port}, not on 127.0.0.1:{new} as relay.toml has it\n"
    assert (moved + "  fix      restart the relay" in said) is bool(new)
    assert f"uplink runs on 127.0.0.1:{port} and is ready" in said
    assert "uplink runs with other settings than relay.toml has: [uplink] admin_port" in said
    assert "uplink does not run here" not in said and "modapi does not run here" in said
    assert "fix      `dayz-relay modapi` starts it" in said and "the relay does not run here" not in said


def test_doctor_names_the_program_on_a_port_that_a_restart_needs(
    terminal: Machine,
) -> None:
    with running_service() as port, socket.create_server(("127.0.0.1", 0)) as other:
        note_it(terminal, "uplink", port)
        new = other.getsockname()[1]
        terminal.environ["RELAY_UPLINK__ADMIN_PORT"] = str(new)
        threading.Thread(target=hang_up, args=[other], daemon=True).start()
        said = terminal.run("doctor", code=1)
    assert f"uplink runs on 127.0.0.1:{port}, not on 127.0.0.1:{new}" in said
    assert f"something listens on 127.0.0.1:{new}, and does not answer as uplink does" in said


def hang_up(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed
        while True:
            listener.accept()[0].close()


def test_doctor_says_that_a_service_runs_with_other_settings_than_its_file_has(terminal: Machine) -> None:
    about = {"restart_needed_for": ["[modapi] port", "[takaro] url"], "settings_refused": "no TOML"}
    with running_service(**about) as port:
        terminal.environ["RELAY_UPLINK__ADMIN_PORT"] = str(port)
        said = terminal.run("doctor", code=1)
    assert "note     uplink runs with other settings than relay.toml has: [modapi] port, [takaro] url" in said
    assert "fix      restart the relay" in said
    assert "uplink still runs with the settings from before relay.toml was changed: no TOML" in said


async def test_in_compose_doctor_looks_for_the_services_in_their_containers(terminal: Machine) -> None:
    with running_service() as port:
        environ = {"RELAY_MODAPI__ADMIN_PORT": str(port), "RELAY_UPLINK__ADMIN_PORT": str(free_port())}
        loaded = load(terminal.folder / "relay.toml", environ).settings
        hosts = {"modapi": "127.0.0.1", "uplink": "127.0.0.1"}
        modapi, uplink = await doctor_here.services_of_compose(loaded, hosts)
    assert modapi == good(f"modapi runs on 127.0.0.1:{port} and is ready")
    assert uplink.level == VerdictLevel.BAD and "docker compose logs uplink" in uplink.fix
    terminal.environ["DAYZ_RELAY_COMMAND"] = "docker compose run --rm cli"
    assert "does not run here" not in await asyncio.to_thread(terminal.run, "doctor", code=1)


@pytest.mark.parametrize(
    ("accepted", "words"),
    [("token", "Takaro knows this server as"), ("another", "Takaro refuses it:")],
)
async def test_doctor_identifies_when_it_is_told_to(terminal: Machine, accepted: str, words: str) -> None:
    async with FaultyTakaro(registration_tokens={accepted}) as takaro:
        (terminal.folder / "relay.toml").write_text(settings(terminal.server.url, takaro.url))
        said = await asyncio.to_thread(terminal.run, "doctor", "--identify", "one", code=1)
        assert "greets as Takaro does" in said and words in said
        plain = await asyncio.to_thread(terminal.run, "doctor", code=1)
        assert "greets as Takaro does" in plain


async def test_a_name_lookup_that_times_out_is_reported_in_words(
    terminal: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*args: object, **options: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", slow)
    [verdict] = await doctor_elsewhere.takaro(load(terminal.folder / "relay.toml", {}).settings)
    assert verdict.what == "the name 127.0.0.1 cannot be looked up: no answer"


def test_doctor_sends_a_test_alert(terminal: Machine) -> None:
    heard: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204 if self.path == "/good" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    path = terminal.folder / "relay.toml"
    with HTTPServer(("127.0.0.1", 0), Hook) as hook:
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{hook.server_port}"
        path.write_text(
            path.read_text() + f'[alerts]\nwebhook_url = "{at}/good"\ndiscord_url = "{at}/wrong"\n'
        )
        said = terminal.run("doctor", "--alerts", code=1)
        hook.shutdown()
    assert f"alerts.webhook_url: {at}/*** has taken a message" in said
    assert f"alerts.discord_url: {at}/*** answers 404" in said
    assert [json.loads(body).get("source") for body in heard] == [None, "dayz-relay"]


def test_doctor_reports_a_wrong_setting_like_other_commands(terminal: Machine) -> None:
    path = terminal.folder / "relay.toml"
    path.write_text(path.read_text().replace('slug = "one"', 'slug = "ONE"'))
    assert "slug: must be 1 to 63" in terminal.run("doctor", code=2)
