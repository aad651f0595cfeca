"""One line for each event and command, whatever players wrote."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.looking import PASSING_TYPES
from services.cli.tail import in_order, line, words
from services.cli.terminal import Paint
from services.relay.instances.watching import DELIVERED, Passed
from services.relay.vocabulary import EventType

ALICE = {"gameId": "76561198000000001", "name": "Alice"}


def passed(what: str, data: dict[str, Any], kind: str = "event") -> Passed:
    return Passed(kind, 1_800_000_000_000, what, data, DELIVERED, 34)


@pytest.mark.parametrize(
    ("what", "data", "said"),
    [
        ("chat-message", {"channel": "global", "msg": "hello", "player": ALICE}, "[global] Alice: hello"),
        ("chat-message", {"channel": "global", "msg": "hello"}, "[global] ?: hello"),
        ("player-connected", {"player": ALICE}, "Alice (76561198000000001)"),
        ("player-death", {"player": ALICE, "attacker": {"name": "Bob"}}, "Alice died, by Bob"),
        ("player-death", {"player": ALICE, "msg": "of hunger"}, "Alice died (of hunger)"),
        (
            "entity-killed",
            {"player": ALICE, "entity": "Wolf", "weapon": ""},
            "Alice killed Wolf with nothing",
        ),
        ("log", {"msg": "a line"}, "a line"),
        ("giveItem", {"gameId": "1", "item": "Apple"}, "gameId=1 item=Apple"),
    ],
)
def test_each_kind_says_what_matters(what: str, data: dict[str, Any], said: str) -> None:
    assert words(passed(what, data)) == said


def test_every_event_type_can_be_asked_for_and_shown() -> None:
    for event_type in EventType:
        assert event_type in PASSING_TYPES
        assert event_type in line("one", passed(event_type, {"player": ALICE, "msg": "x"}), Paint(False))


@given(st.text(), st.text())
def test_hostile_text_stays_on_its_line(name: str, msg: str) -> None:
    event = passed("chat-message", {"channel": "global", "msg": msg, "player": {"gameId": "1", "name": name}})
    assert line("one", event, Paint(False)).isprintable()


async def test_what_is_remembered_of_several_servers_is_told_in_the_order_of_time() -> None:
    heard: asyncio.Queue[tuple[str, Passed]] = asyncio.Queue()
    for slug, at_ms in (("one", 1), ("one", 4), ("two", 2), ("two", 3)):
        heard.put_nowait((slug, Passed("event", at_ms, "log", {}, "delivered", 0)))
    told = in_order(heard)
    assert [(await anext(told))[1].at_ms for _ in range(4)] == [1, 2, 3, 4]
    heard.put_nowait(("one", Passed("event", 1, "log", {}, "delivered", 0)))
    assert (await anext(told))[1].at_ms == 1
