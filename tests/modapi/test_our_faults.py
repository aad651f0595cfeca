"""A fault of our own code costs the one event, command or result it happened on, and Takaro hears of it."""

import logging
import time
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from services.modapi import commands, events
from services.modapi.commands import ModCommands
from services.modapi.dialect.flatten import flatten
from services.modapi.dialect.roster import Roster
from services.modapi.events import EventIntake
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.dead_letters import DeadLetter, DeadLetters
from services.relay.instances.facts import InstanceData
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, GameEvent, Outcome
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.service.logs import InstanceLogger
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream
from tests.support.log_lines import without_repetitions
from tests.support.waiting import until

LINES = orjson.dumps({"events": [{"type": "log", "msg": text} for text in ("one", "bad", "two")]})
FAULT = ZeroDivisionError("nobody has foreseen this")


class Modapi:
    """What takes the calls of one instance."""

    def __init__(self, store: Store, slug: str, roster: Roster | None = None) -> None:
        self.registry = CollectorRegistry()
        metrics = ModapiMetrics(self.registry)
        self.store, self.slug = store, slug
        self.events, self.command_stream = EventStream(store, slug), CommandStream(store, slug)
        self.state = InstanceData(store, slug)
        self.intake = EventIntake(self.events, self.state, roster or Roster(), metrics)
        self.commands = ModCommands(self.command_stream, Roster(), metrics, InstanceLogger("test", slug))

    async def post(self, body: bytes = LINES) -> list[str]:
        """What is stored of a batch, which must be accepted."""
        taken = await self.intake.take(body, time.monotonic())
        assert taken.token
        return [event["data"]["msg"] for entry in await self.events.read("", 100) for event in entry.events]

    async def dead(self) -> list[DeadLetter]:
        return await DeadLetters(self.store, self.slug).newest(10)

    async def ask(self, action: Action = Action.SHUTDOWN) -> str:
        name = new_operation_id(action)
        assert await self.command_stream.enqueue(
            Command(name, action, {}), time.monotonic() + HAND_OUT_WITHIN_S
        )
        return name

    async def result(self) -> Outcome:
        """What Takaro hears."""
        found = await until(lambda: self.command_stream.results("", 10))
        [(_, _, outcome)] = found
        return outcome

    def faults(self, kind: str) -> float:
        return self.registry.get_sample_value("dayz_relay_faults_total", {"kind": kind}) or 0.0


@pytest.fixture
def modapi(store: Store, slug: str) -> Modapi:
    return Modapi(store, slug)


def raises(*_: Any, **__: Any) -> Any:
    raise FAULT


async def test_the_event_that_a_mapper_fails_on_is_put_aside_and_its_neighbours_go_on(
    modapi: Modapi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    map_event = events.map_event

    def fails(raw: dict[str, Any], roster: Roster, received: str) -> Any:
        return raises() if raw["msg"] == "bad" else map_event(raw, roster, received)

    monkeypatch.setattr(events, "map_event", fails)
    with without_repetitions(caplog):
        assert await modapi.post() == ["one", "two"]
        assert await modapi.post(LINES.replace(b"two", b"three")) == ["one", "two", "one", "three"]
    letters = await modapi.dead()
    assert [(one.reason, orjson.loads(one.raw)["msg"]) for one in letters] == [("relay-fault", "bad")] * 2
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [getattr(record, "instance", "") for record in logged] == [modapi.slug]
    assert modapi.faults("request") == 2


@pytest.mark.parametrize("made", ["a set", "a fault"])
async def test_an_event_that_cannot_be_written_down_is_put_aside(
    modapi: Modapi, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    map_event = events.map_event

    def odd(raw: dict[str, Any], roster: Roster, received: str) -> Any:
        event = map_event(raw, roster, received)
        if raw["msg"] == "bad":
            event: GameEvent = {"type": "log", "data": {"msg": {1, 2}}}  # type: ignore[no-redef]
        return event

    def unbounded(raw: dict[str, Any], *more: Any) -> Any:
        return raises() if raw["msg"] == "bad" else raw

    if made == "a set":
        monkeypatch.setattr(events, "map_event", odd)
    else:
        monkeypatch.setattr(events, "bounded", unbounded)
    assert await modapi.post() == ["one", "two"]
    assert [letter.reason for letter in await modapi.dead()] == ["relay-fault"]


async def test_a_body_whose_reading_fails_is_put_aside_and_not_asked_for_again(
    modapi: Modapi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "read_batch", raises)
    assert await modapi.post() == []
    [letter] = await modapi.dead()
    assert (letter.reason, letter.raw) == ("relay-fault", LINES)


async def test_players_that_cannot_be_read_keep_no_batch_back(store: Store, slug: str) -> None:
    class UnreadableRoster(Roster):
        restore = raises

    assert await Modapi(store, slug, UnreadableRoster()).post() == ["one", "bad", "two"]


@pytest.mark.parametrize("made", ["a fault", "a set"])
async def test_a_result_that_we_fail_on_ends_as_an_error(
    modapi: Modapi, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    def odd(*_: Any) -> Outcome:
        return Outcome({1, 2})

    name = await modapi.ask()
    await modapi.commands.stream.take()
    monkeypatch.setattr(commands, "map_result", raises if made == "a fault" else odd)
    assert await modapi.commands.take_result(name, b'{"ok":true}')
    assert "the relay failed on it" in (await modapi.result()).error
    assert modapi.faults("result") == 1


async def test_a_command_that_we_cannot_write_ends_as_an_error_and_the_others_are_handed_out(
    modapi: Modapi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(action: Action, *more: Any) -> str:
        return raises() if action is Action.SHUTDOWN else flatten(action, *more)

    monkeypatch.setattr(commands, "flatten", fails)
    bad, good = await modapi.ask(), await modapi.ask(Action.LIST_BANS)
    answer = orjson.loads(modapi.commands.poll_answer(await modapi.commands.stream.take()))
    assert [one["operationId"] for one in answer["operations"]] == [good]
    assert "failed on this command" in (await modapi.result()).error
    assert not await modapi.commands.take_result(bad, b'{"ok":true}')  # it has ended


async def test_a_command_of_a_newer_uplink_ends_as_an_error_and_the_others_are_handed_out(
    modapi: Modapi,
) -> None:
    bad, good = await modapi.ask(), await modapi.ask()
    writes = keys_of(modapi.slug).writes
    [(entry, fields), *_] = await modapi.store.send("XRANGE", writes, "-", "+")
    await modapi.store.send("XDEL", writes, entry)
    fields[fields.index(b"shutdown")] = b"dance"
    await modapi.store.send("XADD", writes, "*", *fields)
    assert [one.operation_id for one in await modapi.commands.stream.take()] == [good]
    assert "modapi is older than uplink" in (await modapi.result()).error
    assert not await modapi.commands.take_result(bad, b'{"ok":true}')
