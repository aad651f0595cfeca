"""The commands that look at a relay, on a store that a test has filled."""

import asyncio
import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from services.cli import store_socket
from services.cli.tail import SHOWN_ABOVE
from services.modapi.dialect.dead import RAW_BYTES
from services.relay.instances.activity import DELIVERED, ActivityEntry, ActivityFeed
from services.relay.protocol.keys import WATCH, keys_of
from services.relay.protocol.records import DeadEvent, GameEvent
from services.relay.service.http.admin_ports import note
from services.relay.store.client import Store
from services.relay.store.event_stream import EventBatch, EventStream, PostedEvent, digest
from services.sim.ports import free_port
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.redis_server import RedisServer, binaries

ROOT = Path(__file__).parents[2]
INSTANCE = """
[[instance]]
slug = "{slug}"
name = "{name}"
identity_token = "identity-of-{slug}-0123456789"
mod_keys = ["mod-key-of-{slug}-0123456789"]
"""
HOSTILE = "Server \u6771\u4eac"


class Terminal:
    def __init__(self, folder: Path, server: RedisServer) -> None:
        self.folder, self.server = folder, server
        clean = {n: t for n, t in os.environ.items() if not n.startswith(("RELAY_", "TAKARO_"))}
        self.environ = {**clean, "PYTHONPATH": str(ROOT), "TERM": "xterm"}

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "services.cli", *words]

    def run(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            self.argv(*words), cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60
        )
        text = done.stdout + done.stderr
        assert done.returncode == code and "Traceback" not in text, text
        return text

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
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    server = RedisServer(binaries()["valkey"])
    server.start()
    path = tmp_path / "relay.toml"
    path.write_text(settings(server.url))
    path.chmod(0o600)
    yield Terminal(tmp_path, server)
    server.remove()


async def one_is_up(store: Store) -> None:
    keys = keys_of("one")
    await store.send("SET", keys.contact, int(time.time() * 1000))
    await store.send("HSET", keys.link, "state", "ready", "game_server_id", "an-id")
    await store.send("HSET", keys.lease, "token", "t", "uplink", "host-1")
    online = [{"gameId": "76561198000000001", "name": "Al\x1bice", "ping": 45}]
    place = {"x": 100.4, "y": 5, "z": 200.6}
    now = f"{time.time():.3f}"
    await store.send("HSET", keys.mirror, "online", f"{now} {json.dumps(online)}", "players", "1")
    await store.send("HSET", keys.mirror, "getPlayerLocation:76561198000000001", f"{now} {json.dumps(place)}")


def test_what_is_down_stands_first_and_is_told_by_the_exit_code(terminal: Terminal) -> None:
    terminal.fill(one_is_up)
    said = terminal.run("status", code=1)
    head, _, columns, down, up = said.splitlines()
    assert head == "1 up, 1 down; 1 player"
    assert down.split()[:2] == ["down", "two"] and up.split()[:2] == ["up", "one"]
    assert down.endswith("nobody") and "\x1b" not in said
    views = {view["slug"]: view for view in json.loads(terminal.run("status", "--json", code=1))}
    assert (views["one"]["state"], views["two"]["state"]) == ("up", "down")
    assert views["one"]["mod"]["last_contact"].endswith("Z") and views["two"]["mod"]["last_contact"] is None
    assert "host-1" in terminal.run("status", "one")
    detail = terminal.run("status", "two", code=1)
    assert (
        "never called" in detail
        and "no uplink owns it" in detail
        and "TakaroApiUrl must be http://127.0.0.1:" in detail
    )


async def two_called_with_a_wrong_key(store: Store) -> None:
    """Both were last heard of at one address; `two` is known by what it presented there."""
    for slug in ("one", "two"):
        keys = keys_of(slug)
        await store.send("SET", keys.contact, int(time.time() * 1000) - 120_000)
        await store.send("HSET", keys.mod, "address", "10.0.0.9")
    now_ms = int(time.time() * 1000)
    await store.send("ZADD", "relay:unknown-keys", now_ms, "two 10.0.0.9", now_ms, " 10.0.0.9")


def test_one_server_is_told_what_the_table_of_all_tells_of_it(terminal: Terminal) -> None:
    terminal.fill(two_called_with_a_wrong_key)
    of_all = {view["slug"]: view for view in json.loads(terminal.run("status", "--json", code=1))}
    for slug in ("one", "two"):
        alone = json.loads(terminal.run("status", slug, "--json", code=1))
        assert [one["text"] for one in alone["problems"] if "wrong mod key" in one["text"]] == [
            one["text"] for one in of_all[slug]["problems"] if "wrong mod key" in one["text"]
        ]
    assert "wrong mod key" not in terminal.run("status", "one", code=1)
    assert "wrong mod key" in terminal.run("status", "two", code=1)


def shown_live(terminal: Terminal, *moves: tuple[bytes, Callable[[], object]]) -> bytes:
    """What `status` shows at a terminal: each move is made once its pattern is there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        terminal.argv("status"),
        cwd=terminal.folder,
        env=terminal.environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown, since, waiting = b"", 0, [*moves]
    with contextlib.suppress(OSError):  # how a pty says that the other end is closed
        while data := os.read(ours, 4096):
            shown += data
            while waiting and (found := re.compile(waiting[0][0], re.DOTALL).search(shown, since)):
                since = found.end()
                waiting.pop(0)[1]()
                if not waiting:
                    process.send_signal(signal.SIGINT)
    os.close(ours)
    assert process.wait(30) == 0 and b"Traceback" not in shown and not waiting
    return shown


def test_at_a_terminal_the_table_renews_itself_until_it_is_told_to_end(terminal: Terminal) -> None:
    terminal.fill(one_is_up)
    shown = shown_live(terminal, (b"1 up, 1 down.*1 up, 1 down", lambda: None))
    assert re.search(rb"\x1b\[32mlinked", shown)


def test_a_table_that_is_old_says_so_above_until_it_is_new_again(terminal: Terminal) -> None:
    terminal.fill(one_is_up)
    shown_live(
        terminal,
        (b"1 up, 1 down", terminal.server.kill),
        (rb"\x1b\[H\x1b\[31mRedis[^\n]* this is \d+ s old.*1 up, 1 down", terminal.server.start),
        (rb"\x1b\[H\x1b\[1m\d", lambda: None),
    )


def test_the_players_are_those_of_the_mirror(terminal: Terminal) -> None:
    terminal.fill(one_is_up)
    said = terminal.run("players")
    assert re.search(r"^one +Al\\x1bice +76561198000000001 +45 ms +100 / 201$", said, re.MULTILINE)
    assert "one: 1 online, as of" in said and "two: not known yet" in said
    (player,) = json.loads(terminal.run("players", "one", "--json"))["one"]["players"]
    assert player["position"]["x"] == 100.4


@pytest.mark.parametrize(
    "words", [("status", "no"), ("tail", "no"), ("players", "no"), ("dlq", "list", "no")]
)
def test_a_server_that_is_not_there_is_one_line(terminal: Terminal, words: tuple[str, ...]) -> None:
    assert terminal.run(*words, code=1) == "dayz-relay: there is no instance no (one, two)\n"


def test_the_nearest_server_is_named_to_who_misspells_one_and_not_all_of_many(terminal: Terminal) -> None:
    assert terminal.run("status", "onne", code=1) == (
        "dayz-relay: there is no instance onne (did you mean one?)\n"
    )
    with (terminal.folder / "relay.toml").open("a") as file:
        file.writelines(INSTANCE.format(slug=f"number-{n}", name=f"Number {n}") for n in range(20))
    said = terminal.run("players", "xyz", code=1)
    assert said == "dayz-relay: there is no instance xyz (`dayz-relay status` shows all 22)\n"


async def one_has_dead_letters(store: Store) -> None:
    whole, cut = b'{"type":"no-such-event"}', b'{"type":"log","msg":"' + b"x" * 20_000
    slots = [
        PostedEvent(digest(raw), DeadEvent("unknown-type", "a detail", raw[:RAW_BYTES]))
        for raw in (whole, cut)
    ]
    await EventStream(store, "one").append(EventBatch(slots))


def test_dead_letters_are_counted_for_all_servers_and_listed_for_one(terminal: Terminal) -> None:
    assert terminal.run("dlq", "list") == "No server has dead letters.\n"
    terminal.fill(one_has_dead_letters)
    assert [line.split() for line in terminal.run("dlq", "list").splitlines()] == [
        ["SLUG", "DEAD"],
        ["one", "2"],
    ]
    assert json.loads(terminal.run("dlq", "list", "--json")) == {"one": 2}
    told = json.loads(terminal.run("dlq", "list", "one", "--json"))
    assert [letter["cannot_be_repeated"] for letter in told] == ["only its first 2000 bytes were kept", None]
    assert re.search(r"\d\d:\d\d:\d\d [A-Z+-]", terminal.run("dlq", "list", "one"))
    assert re.search(r"\d\d:\d\d:\d\d [A-Z+-]", terminal.run("dlq", "show", "one", told[1]["id"]))


def test_what_is_done_to_no_dead_letter_says_so(terminal: Terminal) -> None:
    for action in ("show", "retry", "drop"):
        said = terminal.run("dlq", action, "one", "abc", code=2)
        assert "'abc' is no id of a dead letter" in said
        assert terminal.run("dlq", action, "one", "1-0", code=1) == "dayz-relay: one has no dead letter 1-0\n"
    assert "one has no dead letter that" in terminal.run("dlq", "retry", "one", "--all")
    assert terminal.run("dlq", "drop", "one", "--all", "--yes") == "0 dropped\n"


def test_a_script_deletes_all_dead_letters_only_if_it_says_that_it_means_it(terminal: Terminal) -> None:
    terminal.fill(one_has_dead_letters)
    said = terminal.run("dlq", "drop", "one", "--all", code=2)
    assert said.startswith("dayz-relay: nothing was deleted") and "add --yes" in said
    assert json.loads(terminal.run("dlq", "list", "--json")) == {"one": 2}
    assert terminal.run("dlq", "drop", "one", "--all", "--yes") == "2 dropped\n"


def test_of_all_those_that_can_be_taken_in_again_are_and_the_others_are_counted(terminal: Terminal) -> None:
    terminal.fill(one_has_dead_letters)
    said = terminal.run("dlq", "retry", "one", "--all", code=1)
    assert "it could not be repaired this time either" in said
    assert said.endswith("1 cannot be retried: `dayz-relay dlq show` says why.\n")


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 1), (b"\n", 1), (b"\x04", 1), (b"yes\n", 0)])
def test_all_dead_letters_are_deleted_by_a_person_who_means_it(
    terminal: Terminal, answer: bytes, code: int
) -> None:
    terminal.fill(one_has_dead_letters)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        terminal.argv("dlq", "drop", "one", "--all"),
        cwd=terminal.folder,
        env=terminal.environ,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    os.close(theirs)
    os.write(ours, answer)
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert b"Delete all dead letters of one" in out and b"Traceback" not in out
    assert process.returncode == code
    assert (b"2 dropped" in out) is (code == 0) and (b"nothing was deleted" in out) is (code == 1)


def test_variables_say_where_the_relay_is_to_who_does_not_want_to_type_it(terminal: Terminal) -> None:
    (terminal.folder / "relay.toml").rename(terminal.folder / "elsewhere.toml")
    assert "relay.toml: does not exist" in terminal.run("status", code=2)
    terminal.environ |= {"DAYZ_RELAY_CONFIG": "elsewhere.toml", "DAYZ_RELAY_DATA": "there"}
    assert "no relay runs there" not in terminal.run("status", code=1)
    text = (terminal.folder / "elsewhere.toml").read_text()
    (terminal.folder / "elsewhere.toml").write_text(re.sub(r"\[redis\]\nurl.*\n", "", text))
    assert "--data there: no relay runs there" in terminal.run("status", code=2)
    assert "--data here: no relay runs there" in terminal.run("status", "--data", "here", code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dlq", "list", "one", "--count", "5000"), "must be a number from 1 to 1,000\n"),
        (("dlq", "list", "one", "--count", "all"), "must be a number from 1 to 1,000\n"),
        (("tail", "--type", "nope"), "choose from 'log', 'player-connected'"),
    ],
)
def test_a_word_that_does_not_fit_is_told_in_plain_words(
    terminal: Terminal, words: tuple[str, ...], said: str
) -> None:
    assert said in terminal.run(*words, code=2).replace(
        "choose from log, player", "choose from 'log', 'player"
    )


def test_a_reader_that_has_enough_is_no_fault(terminal: Terminal) -> None:
    command = " ".join(f"'{word}'" for word in terminal.argv("completion", "bash"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1"],
        cwd=terminal.folder,
        env=terminal.environ,
        capture_output=True,
        timeout=60,
    )
    assert done.stderr == b"" and done.returncode == 0


@pytest.mark.parametrize("words", [("tail",), ("tail", "one", "--json")])
def test_whoever_reads_a_line_of_what_passes_and_goes_is_no_fault(
    terminal: Terminal, words: tuple[str, ...]
) -> None:
    command = " ".join(f"'{word}'" for word in terminal.argv(*words))
    process = subprocess.Popen(
        ["bash", "-c", f"{command} | head -1"],
        cwd=terminal.folder,
        env=terminal.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for number in range(1, 600):
        passed = ["event", 1_800_000_000_000, "log", {"msg": "a line"}, "delivered", 5, ""]
        terminal.server.ask("PUBLISH", f"{WATCH}one", json.dumps(["a-run", [[number, *passed]]]))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            break
    out, err = process.communicate(timeout=30)
    assert b"a line" in out and err == b""


def test_without_a_store_it_says_how_to_name_one(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, RedisServer(binaries()["valkey"]))
    (tmp_path / "relay.toml").write_text(settings("x").replace('[redis]\nurl = "x"\n', ""))
    assert "no relay runs there" in terminal.run("status", code=2)
    assert not store_socket.socket_path(tmp_path / "data").exists()
    said = terminal.run("doctor", code=1)
    assert "no relay runs there" in said and "modapi does not run here" in said
    assert "\nServers\n  note     not looked at" in said


def test_doctor_names_the_file_that_keeps_the_store_of_up_from_starting(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path, RedisServer(binaries()["valkey"]))
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


def test_where_the_environment_has_the_settings_no_file_is_called_valid(terminal: Terminal) -> None:
    (terminal.folder / "relay.toml").unlink()
    terminal.environ |= {"RELAY_REDIS__URL": terminal.server.url, "RELAY_TAKARO__URL": "ws://127.0.0.1:1/"}
    said = terminal.run("doctor", code=1)
    assert "the environment is valid" in said and "relay.toml and" not in said


def test_so_many_servers_at_once_are_not_watched(terminal: Terminal) -> None:
    with (terminal.folder / "relay.toml").open("a") as file:
        file.writelines(INSTANCE.format(slug=f"number-{n}", name=f"Number {n}") for n in range(50))
    said = terminal.run("tail", code=2)
    assert said == "dayz-relay: there are 52 servers: name some, as in `dayz-relay tail one`\n"


def test_tail_shows_events_that_wait_and_marks_them_when_they_are_delivered(terminal: Terminal) -> None:
    """As on the page, a mod is seen to work before anybody owns its server."""

    async def accept(store: Store) -> None:
        said: GameEvent = {"type": "chat-message", "data": {"msg": "hello", "channel": "global"}}
        await EventStream(store, "one").append(EventBatch([PostedEvent(digest(b"hello"), said)]))

    async def deliver(store: Store) -> None:
        (entry,) = await EventStream(store, "one").read("", 10)
        passing = ActivityFeed(store, "one")
        (event,) = entry.events
        now_ms = int(time.time() * 1000)
        passed = [ActivityEntry("event", now_ms, event["type"], event["data"], DELIVERED, 1200)]
        passing.events(1, lambda: passed)
        passing.watched("a watcher")
        await store.send("PING")  # what was told before has left

    with subprocess.Popen(
        terminal.argv("tail", "one", "--json"),
        cwd=terminal.folder,
        env=terminal.environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            shown = []
            for fill in (accept, deliver):
                terminal.fill(fill)
                assert select.select([process.stdout], [], [], 30)[0], "nothing is shown"
                shown.append(json.loads(process.stdout.readline()))
        finally:
            process.terminate()
    assert [(one["what"], one["state"]) for one in shown] == [
        ("chat-message", "waiting"),
        ("chat-message", "delivered"),
    ]
    assert shown[1]["detail"] == SHOWN_ABOVE and shown[0]["data"] == shown[1]["data"]


def test_doctor_names_each_problem_with_its_fix(terminal: Terminal) -> None:
    (terminal.folder / "relay.toml").chmod(0o644)
    said = terminal.run("doctor", code=1)
    for words in (
        "others on this machine can read it (mode 0644)",
        "appendfsync always",
        "modapi does not run here",
        "uplink does not run here",
        "ws://127.0.0.1:1/ cannot be reached",
        "two: its mod has never called",
        "5 problems; 3 notes.",
    ):
        assert words in said
    assert "identity-of-one" not in said and "mod-key-of" not in said
    told = json.loads(terminal.run("doctor", "--json", code=1))
    assert not told["ok"] and {verdict["level"] for verdict in told["verdicts"]} == {"ok", "note", "problem"}
    sections = [verdict["section"] for verdict in told["verdicts"]]
    assert list(dict.fromkeys(sections)) == ["Settings", "Redis", "Services", "Takaro", "Servers"]


def test_doctor_counts_the_servers_that_are_up_and_names_the_others(terminal: Terminal) -> None:
    terminal.fill(one_is_up)
    said = terminal.run("doctor", code=1)
    servers = said[said.index("\nServers\n") :]
    assert servers.count("two: ") == 2 and "one" not in servers and "ok       1 up\n" in servers


def test_a_store_that_is_away_is_told_in_words_and_the_servers_as_not_looked_at(terminal: Terminal) -> None:
    terminal.server.kill()
    said = terminal.run("doctor", code=1)
    assert "Redis: nobody listens on " in said and "Errno" not in said and "\nServers\n" in said
    assert "Redis: nobody listens on " in terminal.run("status", code=1)


def test_doctor_sees_a_store_that_could_lose_events(terminal: Terminal) -> None:
    async def weaken(store: Store) -> None:
        await store.send("CONFIG", "SET", "appendfsync", "everysec")

    terminal.fill(weaken)
    assert "Fix: CONFIG SET appendfsync always" in terminal.run("doctor", code=1)


def test_doctor_says_who_else_has_the_port(terminal: Terminal) -> None:
    port = int(re.findall(r"^port = (\d+)", (terminal.folder / "relay.toml").read_text(), re.MULTILINE)[0])
    with socket.create_server(("127.0.0.1", port)):
        said = terminal.run("doctor", code=1)
    assert f"something else listens on 127.0.0.1:{port}" in said


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


def note_it(terminal: Terminal, service: str, port: int) -> None:
    async def noting(store: Store) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await note(store, service, "127.0.0.1", port)

    terminal.fill(noting)


@pytest.mark.parametrize("configured", ["another", "any free one"])
def test_doctor_finds_a_service_whose_admin_port_was_changed_without_a_restart(
    terminal: Terminal, configured: str
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


def test_doctor_tells_who_has_the_port_that_a_service_is_to_have_after_its_restart(
    terminal: Terminal,
) -> None:
    with running_service() as port, socket.create_server(("127.0.0.1", 0)) as other:
        note_it(terminal, "uplink", port)
        new = other.getsockname()[1]
        terminal.environ["RELAY_UPLINK__ADMIN_PORT"] = str(new)
        threading.Thread(target=hang_up, args=[other], daemon=True).start()
        said = terminal.run("doctor", code=1)
    assert f"uplink runs on 127.0.0.1:{port}, not on 127.0.0.1:{new}" in said
    assert f"something else than uplink listens on 127.0.0.1:{new}" in said


def hang_up(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed
        while True:
            listener.accept()[0].close()


def test_doctor_says_that_a_service_runs_with_other_settings_than_its_file_has(terminal: Terminal) -> None:
    about = {"restart_needed_for": ["[modapi] port", "[takaro] url"], "settings_refused": "no TOML"}
    with running_service(**about) as port:
        terminal.environ["RELAY_UPLINK__ADMIN_PORT"] = str(port)
        said = terminal.run("doctor", code=1)
    assert "note     uplink runs with other settings than relay.toml has: [modapi] port, [takaro] url" in said
    assert "fix      restart the relay" in said
    assert "uplink still runs with the settings from before relay.toml was changed: no TOML" in said


@pytest.mark.parametrize(
    ("accepted", "words"),
    [("token", "Takaro knows this server as"), ("another", "Takaro refuses it:")],
)
async def test_doctor_identifies_when_it_is_told_to(terminal: Terminal, accepted: str, words: str) -> None:
    async with FaultyTakaro(registration_tokens={accepted}) as takaro:
        (terminal.folder / "relay.toml").write_text(settings(terminal.server.url, takaro.url))
        said = await asyncio.to_thread(terminal.run, "doctor", "--identify", "one", code=1)
        assert "greets as Takaro does" in said and words in said
        plain = await asyncio.to_thread(terminal.run, "doctor", code=1)
        assert "greets as Takaro does" in plain


def test_doctor_sends_a_message_to_try_whether_people_are_told(terminal: Terminal) -> None:
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


def test_a_wrong_setting_is_told_as_everywhere(terminal: Terminal) -> None:
    path = terminal.folder / "relay.toml"
    path.write_text(path.read_text().replace('slug = "one"', 'slug = "ONE"'))
    assert "slug: must be 1 to 63" in terminal.run("doctor", code=2)
