"""`status`, `fleet`, `players` and `say`, at a relay whose Redis a test has filled."""

import contextlib
import http.server
import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from services.cli.status import described
from services.relay.protocol.keys import keys_of
from services.relay.service.http.client import RELAY_HEADER
from services.relay.store.client import Store
from tests.cli.conftest import ROOT, RelayTerminal, is_up


def test_servers_that_are_down_come_first_and_set_the_exit_code(relay: RelayTerminal) -> None:
    relay.fill(lambda store: is_up(store, "two"))
    said = relay.run("status", code=1)
    head, _, _, down, up, hint = said.splitlines()
    assert hint.startswith("`dayz-relay status SLUG` says")
    assert head == "1 up, 1 down; 1 player"
    assert down.split()[:2] == ["down", "one"] and up.split()[:2] == ["up", "two"]
    assert down.endswith("nobody") and "\x1b" not in said
    shown = {one["slug"]: one for one in relay.json("status", code=1)}
    assert (shown["one"]["state"], shown["two"]["state"]) == ("down", "up")
    assert shown["two"]["mod"]["last_contact"].endswith("Z") and shown["one"]["mod"]["last_contact"] is None
    assert "host-1" in relay.run("status", "two") and relay.json("status", "two")["state"] == "up"
    detail = relay.run("status", "one", code=1)
    assert "never called" in detail and "no registration token of Takaro" in detail
    assert "TakaroApiUrl must be http://127.0.0.1:" in detail


async def two_called_with_a_wrong_key(store: Store) -> None:
    """Both were last heard of at one address; `two` is known by what it presented there."""
    for slug in ("one", "two"):
        keys = keys_of(slug)
        await store.send("SET", keys.contact, int(time.time() * 1000) - 120_000)
        await store.send("HSET", keys.mod, "address", "10.0.0.9")
    now_ms = int(time.time() * 1000)
    await store.send("ZADD", "relay:unknown-keys", now_ms, "two 10.0.0.9", now_ms, " 10.0.0.9")


def test_one_server_alone_shows_what_the_table_of_all_shows(relay: RelayTerminal) -> None:
    relay.fill(two_called_with_a_wrong_key)
    of_all = {view["slug"]: view for view in json.loads(relay.run("status", "--json", code=1))}
    for slug in ("one", "two"):
        alone = json.loads(relay.run("status", slug, "--json", code=1))
        assert [one["text"] for one in alone["problems"] if "wrong mod key" in one["text"]] == [
            one["text"] for one in of_all[slug]["problems"] if "wrong mod key" in one["text"]
        ]
    assert "wrong mod key" not in relay.run("status", "one", code=1)
    assert "wrong mod key" in relay.run("status", "two", code=1)


def test_a_place_that_only_a_later_relay_knows_is_shown_as_it_is(relay: RelayTerminal) -> None:
    server = relay.json("status", "one", code=1)
    parts = map(str, described({**server, "origin": "panel"}))
    assert re.search(r"^defined in +panel$", "\n".join(parts), re.MULTILINE)


def test_the_fleet_is_shown_in_numbers(relay: RelayTerminal) -> None:
    relay.fill(lambda store: is_up(store, "two"))
    said = relay.run("fleet")
    assert said.splitlines()[0] == "1 up, 1 down; 1 player"
    assert re.search(r"^causes +1 up, 1 no token$", said, re.MULTILINE)
    assert re.search(r"^store +Valkey .* standalone", said, re.MULTILINE)
    assert relay.json("fleet")["states"] == {"up": 1, "attention": 0, "down": 1, "disabled": 0}


def test_the_players_are_those_of_the_mirror(relay: RelayTerminal) -> None:
    relay.fill(lambda store: is_up(store, "two"))
    said = relay.run("players")
    assert re.search(r"^two +Al\\x1bice +76561198000000001 +45 ms +100 / 201$", said, re.MULTILINE)
    assert "two: 1 online, as of" in said and "one: not known yet" in said
    (player,) = relay.json("players", "two")["two"]["players"]
    assert player["position"]["x"] == 100.4


@pytest.mark.parametrize(
    "words",
    [
        *(("status", "no"), ("players", "no"), ("dlq", "list", "no"), ("say", "no", "hi"), ("tail", "no")),
        *(("instance", action, "no") for action in ("show", "config", "rotate", "enable", "remove")),
    ],
)
def test_a_missing_server_is_reported_in_one_line(relay: RelayTerminal, words: tuple[str, ...]) -> None:
    assert re.fullmatch(r"dayz-relay: there is no \w+ no \(one, two\)\n", relay.run(*words, code=1))


def test_a_misspelt_server_gets_the_nearest_name_and_not_all_names(relay: RelayTerminal) -> None:
    said = relay.run("status", "onne", code=1)
    assert said == "dayz-relay: there is no server onne (did you mean one?)\n"
    for number in range(9):
        relay.add(f"number-{number}")
    said = relay.run("players", "xyz", code=1)
    assert said == "dayz-relay: there is no server xyz (`dayz-relay status` shows all 11)\n"


def shown_live(relay: RelayTerminal, *moves: tuple[bytes, Callable[[], object]], **variables: str) -> bytes:
    """What `status` shows at a terminal: each move is made once its pattern is there."""
    ours, theirs = pty.openpty()
    environ = {**relay.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **variables}
    process = subprocess.Popen(
        relay.argv("status"), cwd=relay.folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
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
    assert process.wait(60) == 0 and b"Traceback" not in shown and not waiting, shown
    return shown


def test_at_a_terminal_the_table_renews_itself_and_says_when_it_is_old(relay: RelayTerminal) -> None:
    relay.fill(lambda store: is_up(store, "two"))
    shown = shown_live(
        relay,
        (b"1 up, 1 down.*1 up, 1 down", relay.server.kill),
        (rb"\x1b\[H\x1b\[31mthis is \d+ s old: Redis[^\n]*.*1 up, 1 down", relay.server.start),
        (rb"\x1b\[H\x1b\[1m\d", lambda: None),
    )
    assert re.search(rb"\x1b\[32mlinked", shown)


@contextlib.contextmanager
def a_program_that_takes_over_from(relay: RelayTerminal) -> Iterator[tuple[str, threading.Event]]:
    """Its address, and what makes it answer by itself. Until then the relay's answers come from there."""
    took_over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            relays = not took_over.is_set()
            answer = relay.call("GET", self.path.removeprefix("/api/v1")) if relays else {"status": "away"}
            self.send_response(200)
            if relays:
                self.send_header(RELAY_HEADER, "a version")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", took_over
        server.shutdown()


def test_a_table_outlives_another_program_at_the_address_of_the_relay(relay: RelayTerminal) -> None:
    with a_program_that_takes_over_from(relay) as (url, took_over):
        shown_live(
            relay,
            (b"0 up, 2 down", took_over.set),
            (rb"this is \d+ s old: [^\n]*.*0 up, 2 down", lambda: None),
            DAYZ_RELAY_URL=url,
            DAYZ_RELAY_TOKEN="any-word",
        )
