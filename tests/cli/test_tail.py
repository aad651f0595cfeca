"""One line for each event and command, whatever players wrote."""

import asyncio
import contextlib
import itertools
import json
import subprocess
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli import tail
from services.cli.api import RelayApi, RelayAway
from services.cli.commands.show import PASSING_TYPES
from services.cli.place import ApiPlace
from services.cli.stream import Message, follow, read
from services.cli.tail import SHOWN_ABOVE, Seen, in_order, line, words
from services.relay.protocol.errors import ConfigError, NoSuchInstance
from services.relay.protocol.keys import WATCH
from services.relay.protocol.vocabulary import EventType
from services.relay.service.http.client import RELAY_HEADER
from tests.cli.conftest import ROOT, RelayTerminal
from tests.support.shown import shown

AT = "2027-01-15T08:00:00Z"
NUMBERS = itertools.count()
RELAY = {RELAY_HEADER: "0.3.0"}
ALICE = {"gameId": "76561198000000001", "name": "Alice"}


def entry(what: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An event, or with `arguments` among the fields a command, as the API streams it."""
    one = {"slug": "one", "id": f"run-{next(NUMBERS)}", "at": AT, "state": "delivered", "took_ms": 34}
    kind = (
        {"type": what, "data": data} if what in {*EventType, "dance"} else {"action": what, "arguments": data}
    )
    return {**one, "detail": "", **kind, **more}


def said_of(one: dict[str, Any]) -> str:
    (only,) = shown(line(one))
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
def test_each_kind_of_entry_has_its_own_words(what: str, data: dict[str, Any], said: str) -> None:
    assert words(entry(what, data)) == said


def test_a_command_without_arguments_leaves_no_gap() -> None:
    without, other = entry("getPlayers", {}, state="answered"), entry("log", {"msg": "here"})
    assert said_of(without).index("(done") == said_of(other).index("here")


def test_every_event_type_can_be_asked_for_and_shown() -> None:
    for event_type in EventType:
        assert event_type in PASSING_TYPES
        assert event_type in said_of(entry(event_type, {"player": ALICE, "msg": "x"}))


@given(st.text(), st.text())
def test_hostile_text_stays_on_its_line(name: str, msg: str) -> None:
    event = entry("chat-message", {"channel": "global", "msg": msg, "player": {"gameId": "1", "name": name}})
    assert said_of(event).isprintable()


def test_a_terminal_wraps_words_under_the_words() -> None:
    event = entry("log", {"msg": "a long line of a game server that is wrapped somewhere"})
    first, *others = shown(line(event), columns=70)
    begin = first.index("a long")
    assert all(other.startswith(" " * begin) and other[begin] != " " for other in others)
    words_shown = " ".join(part.strip() for part in (first[begin:], *others))
    assert words_shown == "a long line of a game server that is wrapped somewhere (delivered after 34 ms)"


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_a_narrow_terminal_shows_all_words(columns: int) -> None:
    said = " ".join(" ".join(shown(line(entry("log", {"msg": "a long line"}), 8), columns=columns)).split())
    assert said == f"{said[:8]} one \N{RIGHTWARDS ARROW} log a long line (delivered after 34 ms)"


def at(second: int) -> str:
    return f"2027-01-15T08:00:{second:02}Z"


async def test_remembered_activity_of_several_servers_is_shown_in_order_of_time() -> None:
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for slug, second in (("one", 1), ("one", 4), ("two", 2), ("two", 3)):
        heard.put_nowait(entry("log", {}, slug=slug, at=at(second)))
    heard.put_nowait(entry("log", {}, at="2027-01-15T08:00:02.500000Z"))
    told = in_order(heard)
    seconds = [(await anext(told))["at"][17:21] for _ in range(5)]
    assert seconds == ["01Z", "02Z", "02.5", "03Z", "04Z"]
    heard.put_nowait(entry("log", {}, at=at(1)))
    assert (await anext(told))["at"] == at(1)


def log(msg: str, state: str, second: int, **more: Any) -> dict[str, Any]:
    return entry("log", {"msg": msg}, state=state, at=at(second), **more)


@pytest.mark.parametrize("state", ["delivered", "expired"])
def test_an_event_that_waited_is_marked_when_it_is_delivered_and_an_equal_new_one_is_not(state: str) -> None:
    seen = Seen()
    waits, of_another = log("a", "waiting", 1), log("a", state, 2, slug="two")
    assert seen.to_show(waits) == waits and seen.to_show(of_another) == of_another
    passes, equal = log("a", state, 3), log("a", state, 4)
    assert seen.to_show(passes) == {**passes, "detail": SHOWN_ABOVE}
    assert seen.to_show(equal) == equal


def test_each_of_two_equal_waiting_events_is_marked() -> None:
    seen = Seen()
    for second in (1, 2):
        seen.to_show(log("a", "waiting", second))
    details = [one["detail"] for _ in range(3) if (one := seen.to_show(log("a", "delivered", 3)))]
    assert details == [SHOWN_ABOVE, SHOWN_ABOVE, ""]


def test_a_delivered_event_is_not_shown_as_waiting_afterwards() -> None:
    seen = Seen()
    seen.to_show(log("a", "delivered", 5))
    assert seen.to_show(log("a", "waiting", 4)) is None  # read before it was taken off
    later = log("a", "waiting", 6)
    assert seen.to_show(later) == later  # accepted after that: a new event


def test_an_entry_that_is_sent_again_is_shown_once() -> None:
    seen = Seen()
    for one in (log("a", "waiting", 1), entry("sendMessage", {"message": "hello"}, state="answered")):
        assert [seen.to_show(one), seen.to_show(one)] == [one, None]


def test_tail_says_in_words_that_an_event_waits_or_was_shown_above() -> None:
    assert "(waiting for Takaro)" in said_of(log("a", "waiting", 1, took_ms=0))
    second = log("a", "delivered", 1, took_ms=1200, detail=SHOWN_ABOVE)
    assert f"(delivered after 1200 ms: {SHOWN_ABOVE})" in said_of(second)
    letter = entry("dance", {"msg": "no such type"}, state="dead", took_ms=0, detail="unknown-type")
    assert "(dead letter: unknown-type)" in said_of(letter)
    kick = entry("kickPlayer", {"gameId": "1"}, state="no_result", took_ms=9000)
    assert "(delivered, no result after 9000 ms: it may have run)" in said_of(kick)


def test_messages_are_read_whatever_players_write() -> None:
    data = {"msg": "a\u2028b\x85: c"}
    blocks = [b":", b"id: 7\nevent: event\ndata: " + json.dumps(data, ensure_ascii=False).encode()]
    assert list(read(blocks)) == [Message("7", "event", data)]


async def test_a_stream_goes_on_behind_its_last_message_when_its_connection_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    came_from: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        came_from.append(request.headers.get("last-event-id"))
        if len(came_from) == 2:
            raise httpx.ConnectError("refused")
        if len(came_from) == 4:
            return httpx.Response(404, json={"code": "server_not_found", "detail": "there is no server one"})
        if request.url.path.endswith("/servers"):
            return httpx.Response(200, json={"servers": [], "next_cursor": None}, headers=RELAY)
        number = len(came_from)
        text = f'id: run-{number}\nevent: event\ndata: {{"n": {number}}}\n\n'
        return httpx.Response(200, content=text, headers=RELAY)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://relay/api/v1")
    relay = RelayApi(ApiPlace("http://relay", "", "", ""), client)
    messages = follow(relay, "/servers/one/events", again_s=0.0)
    assert [(await anext(messages)).data["n"] for _ in range(2)] == [1, 3]
    assert came_from == [None, "run-1", "run-1"]
    assert capsys.readouterr().err.count("trying again") == 1
    with pytest.raises(NoSuchInstance):
        await anext(messages)
    await client.aclose()


async def test_a_relay_that_hangs_is_not_waited_for_as_long_as_a_change_may_take() -> None:
    waited_s: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        waited_s.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={}, headers=RELAY)

    async with httpx.AsyncClient(base_url="http://x", transport=httpx.MockTransport(answer)) as client:
        relay = RelayApi(ApiPlace("http://x", "", "", ""), client)
        await relay.get("/fleet")
        await relay.post("/servers/one/dead-letters/retry")
    assert waited_s == [15.0, 60.0]


async def test_a_relay_that_never_answered_is_not_waited_for() -> None:
    def silent(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("")

    client = httpx.AsyncClient(transport=httpx.MockTransport(silent), base_url="http://relay/api/v1")
    relay = RelayApi(ApiPlace("http://relay", "", "", ""), client)
    for asked in (anext(follow(relay, "/stream")), relay.get("/fleet")):
        with pytest.raises(RelayAway, match="no relay answers at http://relay .no answer in time."):
            await asked
    await client.aclose()


@pytest.mark.parametrize("words", [("tail",), ("tail", "one", "--json")])
def test_a_reader_of_tail_may_leave_after_one_line(relay: RelayTerminal, words: tuple[str, ...]) -> None:
    command = " ".join(f"'{word}'" for word in relay.argv(*words))
    process = subprocess.Popen(
        ["bash", "-c", f"{command} | head -1"],
        cwd=relay.folder,
        env={**relay.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for number in range(1, 600):
        passed = ["event", 1_800_000_000_000, "log", {"msg": "a line"}, "delivered", 5, ""]
        relay.server.ask("PUBLISH", f"{WATCH}one", json.dumps(["a1", [[number, *passed]]]))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            break
    out, err = process.communicate(timeout=60)
    assert b"a line" in out and err == b""


def test_tail_refuses_more_than_fifty_servers_at_once(relay: RelayTerminal) -> None:
    said = relay.run("tail", *(f"number-{number}" for number in range(51)), code=2)
    assert said == "dayz-relay: there are 51 servers: name some, as in `dayz-relay tail number-0`\n"


async def test_disabled_servers_do_not_hide_those_behind_them() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        found = [{"slug": f"number-{number}", "served": number > 150} for number in range(100, 202)]
        page = found[: int(request.url.params["limit"])]
        return httpx.Response(200, json={"servers": page, "next_cursor": None}, headers=RELAY)

    async with httpx.AsyncClient(base_url="http://x", transport=httpx.MockTransport(answer)) as client:
        relay = RelayApi(ApiPlace("http://x", "", "", ""), client)
        with pytest.raises(ConfigError, match="there are 51 servers: name some, as in .* number-151"):
            await tail.run(relay, named=[], kinds=None, as_json=False)


def test_an_unknown_type_is_refused_with_the_known_ones(relay: RelayTerminal) -> None:
    said = relay.run("tail", "--type", "nope", code=2)
    assert "'nope' is no type: choose from 'log', 'player-connected'" in said
