"""One line for each event and command, whatever players wrote."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.commands.look import PASSING_TYPES
from services.cli.tail import SHOWN_ABOVE, Known, in_order, line, words
from services.relay.instances.activity import DELIVERED, EXPIRED, WAITING, ActivityEntry
from services.relay.protocol.vocabulary import EventType
from tests.support.shown import shown

ALICE = {"gameId": "76561198000000001", "name": "Alice"}


def passed(what: str, data: dict[str, Any], kind: str = "event") -> ActivityEntry:
    return ActivityEntry(kind, 1_800_000_000_000, what, data, DELIVERED, 34)


def said_of(event: ActivityEntry) -> str:
    (only,) = shown(line("one", event))
    return only


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
        assert event_type in said_of(passed(event_type, {"player": ALICE, "msg": "x"}))


@given(st.text(), st.text())
def test_hostile_text_stays_on_its_line(name: str, msg: str) -> None:
    event = passed("chat-message", {"channel": "global", "msg": msg, "player": {"gameId": "1", "name": name}})
    assert said_of(event).isprintable()


def test_a_terminal_wraps_words_under_the_words() -> None:
    event = passed("log", {"msg": "a long line of a game server that is wrapped somewhere"})
    first, *others = shown(line("one", event), columns=70)
    begin = first.index("a long")
    assert all(other.startswith(" " * begin) and other[begin] != " " for other in others)
    words_shown = " ".join(part.strip() for part in (first[begin:], *others))
    assert words_shown == "a long line of a game server that is wrapped somewhere (delivered after 34 ms)"


async def test_what_is_remembered_of_several_servers_is_told_in_the_order_of_time() -> None:
    heard: asyncio.Queue[tuple[str, ActivityEntry]] = asyncio.Queue()
    for slug, at_ms in (("one", 1), ("one", 4), ("two", 2), ("two", 3)):
        heard.put_nowait((slug, ActivityEntry("event", at_ms, "log", {}, "delivered", 0)))
    told = in_order(heard)
    assert [(await anext(told))[1].at_ms for _ in range(4)] == [1, 2, 3, 4]
    heard.put_nowait(("one", ActivityEntry("event", 1, "log", {}, "delivered", 0)))
    assert (await anext(told))[1].at_ms == 1


def log(msg: str, state: str, at_ms: int) -> ActivityEntry:
    return ActivityEntry("event", at_ms, "log", {"msg": msg}, state, 0)


@pytest.mark.parametrize("state", [DELIVERED, EXPIRED])
def test_an_event_that_waited_is_marked_when_it_passes_and_its_honest_twin_is_not(state: str) -> None:
    known = Known()
    waits = log("a", WAITING, 1)
    assert known.told("one", waits) == waits
    assert known.told("two", log("a", state, 2)) == log("a", state, 2)  # of another server
    assert known.told("one", log("a", state, 3)) == log("a", state, 3)._replace(detail=SHOWN_ABOVE)
    assert known.told("one", log("a", state, 4)) == log("a", state, 4)


def test_of_twins_that_waited_each_is_marked() -> None:
    known = Known()
    for at_ms in (1, 2):
        known.told("one", log("a", WAITING, at_ms))
    details = [one.detail for _ in range(3) if (one := known.told("one", log("a", DELIVERED, 3)))]
    assert details == [SHOWN_ABOVE, SHOWN_ABOVE, ""]


def test_an_event_that_has_passed_is_not_shown_as_waiting_behind_that() -> None:
    known = Known()
    known.told("one", log("a", DELIVERED, 5))
    assert known.told("one", log("a", WAITING, 4)) is None  # read before it was taken off
    later = log("a", WAITING, 6)
    assert known.told("one", later) == later  # accepted after that: a twin


def test_what_waits_and_what_was_shown_above_is_told_in_words() -> None:
    assert "(waiting for Takaro)" in said_of(log("a", WAITING, 1))
    second = log("a", DELIVERED, 1)._replace(took_ms=1200, detail=SHOWN_ABOVE)
    assert f"(delivered after 1200 ms: {SHOWN_ABOVE})" in said_of(second)
    letter = ActivityEntry("event", 1, "dance", {"msg": "no such type"}, "dead", 0, "unknown-type")
    assert "(put aside: unknown-type)" in said_of(letter)
