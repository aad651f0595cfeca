"""Every command of docs/commands.md is run by a test: most of them here, one after another, at one relay."""

import re

import pytest

from docs.commands import page
from services.relay.protocol.records import DeadEvent
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from tests.cli.conftest import ROOT, RelayTerminal

IN_TURN: list[tuple[str, str, int, str]] = [
    ("status", "status --once", 1, "0 up, 2 down"),
    ("fleet", "fleet", 0, "uplinks           none"),
    ("players", "players one", 0, "one: not known yet"),
    ("dlq list", "dlq list one --count 5", 0, "unknown-type"),
    ("dlq show", "dlq show one {letter}", 0, "no-such-event"),
    ("dlq retry", "dlq retry one --all", 1, "could not be repaired"),
    ("dlq drop", "dlq drop one --all --yes", 0, "1 dropped"),
    ("instance add", "instance add new --name Livonia", 0, "TakaroApiUrl"),
    ("completion", "completion slugs", 0, "new\none\ntwo"),
    ("instance list", "instance list", 0, "Livonia"),
    ("instance show", "instance show new", 0, "Takaro token"),
    ("instance config", "instance config new", 0, "/k/<mod key>"),
    ("instance set", "instance set new --name Namalsk", 0, "new has a new name"),
    ("instance rotate", "instance rotate new --overlap-h 1", 0, "stays valid for 1 h"),
    ("instance disable", "instance disable new", 0, "new is disabled"),
    ("instance enable", "instance enable new", 0, "new is served again"),
    ("instance remove", "instance remove new", 0, "new is removed"),
    ("api-token add", "api-token add panel --role read", 0, "panel works at once"),
    ("api-token list", "api-token list", 0, "panel  read"),
    ("api-token remove", "api-token remove panel", 0, "panel is removed"),
    ("context add", "context add home --url http://127.0.0.1:9088", 0, "home is added"),
    ("context use", "context use local", 0, "Commands work at local now"),
    ("context list", "context list", 0, "home  http://127.0.0.1:9088"),
    ("context remove", "context remove home", 0, "home is removed"),
    ("check", "check", 0, "ok"),
    ("token new", "token new --kind admin", 0, "relay.toml"),
    ("doctor", "doctor", 1, "modapi runs on"),
    ("version", "version", 0, "dayz-relay"),
    ("help", "help dlq show", 0, "Show one dead letter in full"),
]

ELSEWHERE = {
    "up": "tests/cli/test_up.py",
    "demo": "tests/cli/test_up.py",
    "modapi": "tests/support/relay_process.py",
    "uplink": "tests/support/relay_process.py",
    "agent": "tests/agent/test_agent.py",
    "import": "tests/cli/test_main.py",
    "say": "tests/flows/test_command_line.py",
    "tail": "tests/flows/test_command_line.py",
    "sim mod": "tests/docs/test_snippets.py",
    "sim takaro": "tests/docs/test_snippets.py",
}
"""Commands that run on, or need more than a relay, and the file with their test."""


async def one_has_a_dead_letter(store: Store) -> None:
    raw = b'{"type":"no-such-event"}'
    await EventStream(store, "one").append(
        EventBatch([PostedEvent(digest(raw), DeadEvent("unknown-type", "a detail", raw))])
    )


def test_commands_run_as_the_page_shows_them(relay: RelayTerminal) -> None:
    relay.fill(one_has_a_dead_letter)
    (letter,) = relay.json("dlq", "list", "one")
    for _, typed, code, said in IN_TURN:
        assert said in relay.run(*typed.format(letter=letter["id"]).split(), code=code), typed


def test_every_command_of_the_page_is_run() -> None:
    commands = re.findall(r"^\| `dayz-relay ([a-z-]+(?: [a-z]+)?)", page(), re.MULTILINE)
    assert sorted(commands) == sorted([*(name for name, *_ in IN_TURN), *ELSEWHERE])


@pytest.mark.parametrize("command", ELSEWHERE)
def test_commands_that_do_not_run_here_run_in_another_test(command: str) -> None:
    text = (ROOT / ELSEWHERE[command]).read_text()
    assert all(f'"{word}"' in text for word in command.split())
