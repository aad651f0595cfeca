"""Held polls against a real store: woken, ended, given up; no command is taken for a mod that is gone."""

import asyncio
import math
import time
from collections.abc import AsyncIterator

import orjson
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi.hold_rules import HELD, Ending, HoldRules
from services.modapi.http.refusals import STOOD_STILL, Refused
from services.modapi.main import logger
from services.modapi.metrics import ModapiMetrics
from services.modapi.polls import ASK_AGAIN_S, GATHER_S, NOTHING, Polled
from services.modapi.served_instances import ServedInstances
from services.relay.instances.definitions import merge
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.errors import StoreError
from services.relay.protocol.records import Command
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.service.arrivals import CallerConnection
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance, ModApi
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from tests.support.ages import just_now
from tests.support.redis_server import RedisServer
from tests.support.silent_store import SilentStore
from tests.support.waiting import until

FIRST_S = 0.7
LONG_S = 30.0


class LongHolds(HoldRules):
    """Where holds are allowed, they are longer than the machine may stand still."""

    def allowed_s(self, now_s: float) -> float:
        return LONG_S if super().allowed_s(now_s) else 0.0


class PollingMod:
    """A mod that polls, seen from behind its HTTP."""

    def __init__(self, store: Store, slug: str, hold_polls_s: float = 5.0) -> None:
        self.store, self.slug = store, slug
        self.registry = CollectorRegistry()
        metrics = ModapiMetrics(self.registry)
        self.served_instances = ServedInstances(store, metrics, logger, ModApi(hold_polls_s=hold_polls_s))
        instance = Instance(slug=slug, name="A server", identity_token=SecretStr("identity"))
        self.served_instances.update(merge([instance], {}, just_now))
        served = self.served_instances.instances[slug]
        self.polls, self.taken_from = served.polls, served.commands.stream
        self.gone = asyncio.Event()
        self.watching: list[asyncio.Task[None]] = []
        self.looks = math.inf  # so often it is found to wait still
        self.listening = asyncio.create_task(self.served_instances.listen())

    def poll(self) -> asyncio.Task[Polled]:
        gone, connection = self.gone, CallerConnection()

        async def watch() -> None:
            await gone.wait()
            if connection.on_gone:
                connection.on_gone()

        async def raise_if_given_up(held_s: float) -> None:
            self.looks -= 1
            if self.looks < 0:
                raise Refused(STOOD_STILL)

        self.watching.append(asyncio.create_task(watch()))
        return asyncio.create_task(self.polls.answer(connection, raise_if_given_up))

    async def held_poll(self, *, long: bool = False) -> asyncio.Task[Polled]:
        if long:
            self.polls.rules = LongHolds(LONG_S)
        while True:
            poll = self.poll()
            await until(lambda poll=poll: self.polls.rules.state in HELD or poll.done())
            if not poll.done():
                return poll
            assert isinstance(poll.exception(), StoreError)  # this process stood still: the mod polls again

    async def ask(self, silent: SilentStore | None = None) -> str:
        name = new_operation_id(Action.SHUTDOWN)
        stream = CommandStream(silent or self.store, self.slug)
        assert await stream.enqueue(Command(name, Action.SHUTDOWN, {}), time.monotonic() + HAND_OUT_WITHIN_S)
        return name

    def ended(self) -> dict[Ending, int]:
        name = "dayz_relay_polls_held_total"
        counts = {one: self.registry.get_sample_value(name, {"ended": one.value}) for one in Ending}
        return {one: int(count) for one, count in counts.items() if count}

    @property
    def allowed_s(self) -> float:
        return self.polls.rules.allowed_s(time.monotonic())


def names(polled: Polled) -> list[str]:
    assert polled.answer is not None
    return [operation["operationId"] for operation in orjson.loads(polled.answer)["operations"]]


@pytest.fixture
async def silent(redis_server: RedisServer) -> AsyncIterator[SilentStore]:
    made = SilentStore(redis_server.url)
    yield made
    await made.close()


@pytest.fixture
async def mod(store: Store, slug: str) -> AsyncIterator[PollingMod]:
    mod = PollingMod(store, slug)
    await until(lambda: mod.polls.is_open)
    yield mod
    for task in (mod.listening, *mod.watching):
        await cancelled(task)


async def test_a_command_wakes_the_poll_that_waits_for_it(mod: PollingMod) -> None:
    poll = await mod.held_poll(long=True)
    name = await mod.ask()
    polled = await poll
    assert names(polled) == [name]
    assert 0 < polled.held_s < LONG_S
    assert mod.ended() == {Ending.COMMAND: 1}


async def test_commands_of_one_moment_go_out_in_one_answer(mod: PollingMod) -> None:
    poll = await mod.held_poll(long=True)
    asked = await asyncio.gather(*(mod.ask() for _ in range(5)))
    assert sorted(names(await poll)) == sorted(asked)


async def test_a_poll_gets_a_waiting_command_at_once(mod: PollingMod) -> None:
    name = await mod.ask()
    polled = await mod.poll()
    assert (names(polled), polled.held_s, mod.ended()) == ([name], 0.0, {})


async def test_a_hold_without_a_command_ends_with_an_empty_answer(mod: PollingMod) -> None:
    polled = await mod.poll()
    assert polled.answer == NOTHING
    assert polled.held_s >= FIRST_S
    assert mod.ended() == {Ending.EMPTY: 1}


async def test_a_command_whose_hint_was_lost_goes_out_at_the_end_of_the_hold(
    mod: PollingMod, silent: SilentStore
) -> None:
    poll = await mod.held_poll()
    name = await mod.ask(silent)
    polled = await poll
    assert names(polled) == [name]
    assert polled.held_s >= FIRST_S


@pytest.mark.parametrize("lost", [False, True])
async def test_a_poll_behind_an_empty_answer_is_held_without_a_look_until_a_hint_comes_or_a_second_is_over(
    mod: PollingMod, silent: SilentStore, lost: bool
) -> None:
    before = [await mod.held_poll()]
    mod.polls.rules.called(time.monotonic(), events=True)  # from now on 1.7 s

    async def takes_s() -> float:
        assert (await (before.pop() if before else mod.poll())).answer == NOTHING
        began_s = time.monotonic()
        mod.looks = 0  # a look would end the poll
        poll = mod.poll()
        await until(lambda: mod.polls.rules.state in HELD or poll.done())
        mod.looks = math.inf
        if poll.done() and poll.exception():
            return math.nan  # this process stood still until the next look was due
        name = await mod.ask(silent if lost else None)
        assert names(await poll) == [name]
        return time.monotonic() - began_s

    def fits(took_s: float) -> bool:
        return ASK_AGAIN_S / 2 < took_s <= ASK_AGAIN_S + GATHER_S if lost else took_s < ASK_AGAIN_S / 2

    await until(takes_s, met=fits)  # again if the machine stood still


async def test_a_hint_without_a_command_does_not_end_the_hold(mod: PollingMod) -> None:
    poll = await mod.held_poll()
    for _ in range(5):
        mod.polls.wake()
        await asyncio.sleep(0.02)
    assert (await poll).held_s >= FIRST_S


async def test_no_command_is_taken_for_a_mod_that_has_hung_up(mod: PollingMod) -> None:
    poll = await mod.held_poll(long=True)
    mod.gone.set()
    name = await mod.ask()
    assert (await poll).answer is None
    assert (mod.ended(), mod.allowed_s) == ({Ending.HUNG_UP: 1}, 0.0)
    mod.gone = asyncio.Event()
    assert names(await mod.poll()) == [name]


@pytest.mark.parametrize("held", [False, True], ids=["at once", "after a hold"])
async def test_no_command_is_lost_with_a_mod_that_hangs_up_while_redis_is_asked_for_it(
    mod: PollingMod, silent: SilentStore, redis_server: RedisServer, held: bool
) -> None:
    await mod.poll()  # from now on it needs one round trip
    if held:
        mod.polls.wake()  # so the next one looks at once, and not a second after this one
    poll = await mod.held_poll(long=True) if held else None
    name = await mod.ask(silent)
    with redis_server.stopped():
        poll = poll or mod.poll()
        mod.polls.wake()
        await asyncio.sleep(2 * GATHER_S)  # by then it has asked Redis, which does not answer
        mod.gone.set()
        assert (await poll).answer is None
    mod.gone = asyncio.Event()

    async def handed() -> list[str]:
        return names(await mod.poll())

    assert await until(handed) == [name]


async def test_no_command_is_lost_with_a_poll_that_is_cancelled_when_it_has_been_taken(
    mod: PollingMod, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = mod.taken_from.take

    async def then_cancelled(**options: bool) -> list[Command]:
        commands = await take(**options)
        poll.cancel()
        return commands

    name = await mod.ask()
    with monkeypatch.context() as patched:
        patched.setattr(mod.taken_from, "take", then_cancelled)
        poll = mod.poll()
        await asyncio.wait([poll])
    assert poll.cancelled()
    assert names(await mod.poll()) == [name]


@pytest.mark.parametrize("looks", [0, 1])
async def test_a_standstill_before_the_look_or_during_it_costs_no_command(
    mod: PollingMod, looks: int
) -> None:
    name = await mod.ask()
    mod.looks = looks
    with pytest.raises(Refused):
        await mod.poll()
    mod.looks = math.inf
    assert names(await mod.poll()) == [name]


async def test_a_second_poll_ends_the_first_and_gets_the_commands(mod: PollingMod) -> None:
    first = await mod.held_poll(long=True)
    second = mod.poll()
    assert (await first).answer == NOTHING
    await second
    name = await mod.ask()
    assert names(await mod.poll()) == [name]
    assert (mod.ended(), mod.allowed_s) == ({Ending.SUPERSEDED: 1}, 0.0)


async def test_a_command_that_a_superseded_poll_has_taken_goes_to_the_newer_one(
    mod: PollingMod, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, newer, newer_has_looked = mod.taken_from.take, list[asyncio.Task[Polled]](), asyncio.Event()

    async def then_superseded(**options: bool) -> list[Command]:
        commands = await take(**options)
        if newer:
            newer_has_looked.set()
        else:
            newer.append(mod.poll())
            await newer_has_looked.wait()
        return commands

    name = await mod.ask()
    monkeypatch.setattr(mod.taken_from, "take", then_superseded)
    assert (await mod.poll()).answer == NOTHING
    assert names(await newer[0]) == [name]


async def test_polls_that_arrive_together_leave_one_held_at_most(mod: PollingMod) -> None:
    polls = [mod.poll() for _ in range(5)]
    name = await mod.ask()
    answers = [names(polled) for polled in await asyncio.gather(*polls)]
    if name not in sum(answers, []):
        answers.append(names(await mod.poll()))
    assert sum(answers, []) == [name]


async def test_other_calls_meanwhile_lengthen_the_next_hold(mod: PollingMod) -> None:
    assert mod.allowed_s == FIRST_S
    await mod.held_poll()
    mod.polls.rules.called(time.monotonic(), events=True)
    assert mod.allowed_s == pytest.approx(1.7)


async def test_a_service_that_stops_answers_the_held_poll_and_holds_no_more(mod: PollingMod) -> None:
    poll = await mod.held_poll()
    await cancelled(mod.listening)
    assert (await poll).answer == NOTHING
    assert await mod.poll() == Polled(NOTHING, 0.0)
    assert mod.ended() == {Ending.EMPTY: 1}


async def test_nothing_is_held_without_hints(
    mod: PollingMod, store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    poll = await mod.held_poll()
    await store.send("CLIENT", "KILL", "TYPE", "pubsub")
    assert (await poll).answer == NOTHING
    assert (await mod.poll()).held_s == 0.0
    await until(lambda: mod.polls.is_open)
    name = await mod.ask()
    assert names(await mod.poll()) == [name]


async def test_polls_are_answered_at_once_when_holding_is_off(store: Store, slug: str) -> None:
    mod = PollingMod(store, slug, hold_polls_s=0.0)
    await until(lambda: mod.polls.is_open)
    assert await mod.poll() == Polled(NOTHING, 0.0)
    assert (mod.ended(), mod.allowed_s) == ({}, 0.0)
    await cancelled(mod.listening)


async def test_every_process_hears_of_a_command(mod: PollingMod, store: Store, slug: str) -> None:
    other = PollingMod(store, slug)
    await until(lambda: other.polls.is_open)
    polls = [await mod.held_poll(long=True), await other.held_poll(long=True)]
    name = await mod.ask()
    await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
    for one in (mod, other):
        one.polls.close()
    assert sum((names(polled) for polled in await asyncio.gather(*polls)), []) == [name]
    await cancelled(other.listening)
