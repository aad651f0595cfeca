"""Answers reads of one instance from the mirror, and asks the mod only for what is missing or stale."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable
from functools import partial
from typing import Any, TypeVar

import orjson

from services.relay.instances.facts import InstanceData
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.errors import StoreError
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.service.clocks import TIMER_EARLY_S, boottime_s, next_shared_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.uplink.connection.closing_times import ClosingTimes
from services.uplink.reporting.metrics import FRESH, MADE_UP, STALE
from services.uplink.requests.command_queue import CommandQueue
from services.uplink.requests.known_players import with_known_players
from services.uplink.requests.mirror.persistence import MirrorPersistence
from services.uplink.requests.mirror.read_queue import Need, ReadQueue
from services.uplink.requests.mirror.read_rules import CATALOGUES, OF_EACH_PLAYER, AnswerAge, Subject
from services.uplink.takaro import failures
from services.uplink.takaro.answer_rules import answer_fault
from services.uplink.takaro.answers import payload_for
from services.uplink.takaro.failures import CommandFailure

MOD_ANSWERS_WITHIN_S = 7.0
"""A read that the mod does not answer is given up after this time. It is shorter than Takaro's 10 s because
at a cold start thousands of reads end at one moment, and each of them must be answered before that."""

MIN_WAITED_FOR = 20  # number of different reads that may wait for the mod at once, however slow the pace is

MAX_WAITED_FOR = 2_000  # the same, with those that Takaro asks one by one

REFRESH_DELAY_S = (0.5, 2.5)
"""Delay of a refresh that no request waits for, different for each instance: Takaro asks about all of them at
one moment, and its requests are answered first."""

LOOK_UP_WITHIN_S = 0.7  # how long a request waits for what Redis knows, before the mod is asked

REFRESHES_PERIOD_S = 0.25  # refreshes of all instances are queued at the same moments, to share a round trip

Answer = tuple[bytes, str]  # a response payload as JSON, and its source: a label of the metric

T = TypeVar("T")


class Reads:
    """Answers the reads of one instance. `per_s` is how many the mod is asked in a second."""

    def __init__(
        self, command_queue: CommandQueue, persistence: MirrorPersistence, data: InstanceData, per_s: float
    ) -> None:
        self._command_queue = command_queue
        self._mirror = persistence.mirror
        self._persistence = persistence
        self._data = data
        self._logger = InstanceLogger(__name__, data.slug)
        self._metrics = command_queue.metrics
        self._refuses = False
        self._queue = ReadQueue(per_s, random.uniform(*REFRESH_DELAY_S), time.monotonic())
        # More would come too late.
        self._most_in_bursts = max(MIN_WAITED_FOR, int(per_s * MOD_ANSWERS_WITHIN_S))
        self._waited_for: dict[Subject, asyncio.Future[Outcome]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()

    def known_answer(self, action: Action, args: dict[str, Any]) -> Answer | None:
        """The answer if the mirror has it. Queues a refresh if it is stale."""
        subject = Subject(action, args.get("gameId", ""))
        age, payload = self._mirror.read(subject, boottime_s())
        if payload is None:
            return None
        if age is AnswerAge.STALE:
            self._queue_read(subject, Need.STALE)
            return payload, STALE
        return payload, FRESH

    def joined(self, game_id: str) -> None:
        """Queues what Takaro will ask of a player within 30 s (protocol.md T16), unless it is known: the
        first burst after many have joined would wait for the mod."""
        now_s = boottime_s()
        of_player = (Subject(action, game_id) for action in OF_EACH_PLAYER)
        for subject in (Subject(Action.GET_PLAYERS), *of_player):
            if self._mirror.read(subject, now_s).age is AnswerAge.UNKNOWN:
                self._queue_read(subject, Need.UNKNOWN)

    async def find_answer(self, action: Action, args: dict[str, Any]) -> Answer:
        """The answer from Redis or from the mod, or the fallback answer."""
        subject = Subject(action, args.get("gameId", ""))
        if action in CATALOGUES:
            age, _ = self._mirror.read(subject, boottime_s())
            if age is not AnswerAge.UNKNOWN and (
                payload := await _looked_up(self._persistence.catalogue(action))
            ):
                if age is AnswerAge.FRESH:
                    return payload, FRESH
                self._queue_read(subject, Need.STALE)
                return payload, STALE
        elif action is Action.GET_PLAYER:
            if person := await _looked_up(self._data.player(subject.game_id)):
                return orjson.dumps(person), FRESH  # not known to be online: nobody knows more
        result = await self._wait_for_mod(subject)
        if result.value is not None and not result.error:
            return orjson.dumps(result.value), CommandEnd.ANSWERED  # _ask_mod has checked it
        return self.fallback_answer(action, args, result)

    def fallback_answer(self, action: Action, args: dict[str, Any], result: Outcome) -> Answer:
        """The answer if the mod gave none: an error, except for a position.

        The last known position is better than none. If none is known and an event waits for the answer, a
        position is made up, because an error would make Takaro lose the event.
        """
        game_id = args.get("gameId", "")
        if action is Action.GET_PLAYER_LOCATION:
            if position := self._mirror.position_of(game_id):
                return position, STALE
            now_s = boottime_s()
            if self._mirror.event_waits(game_id, now_s):
                return self._mirror.make_up_position(now_s), MADE_UP
        return orjson.dumps(payload_for(action, args, result)), result.end

    async def leave(self, closing_times: ClosingTimes) -> None:
        """From `fetched_by_s` on, sends no reads to the mod, and refuses the requests that wait for it."""
        await asyncio.sleep(closing_times.fetched_by_s - time.monotonic())
        self._refuses = True
        for subject in self._queue.clear():
            if waited_for := self._waited_for.pop(subject, None):
                waited_for.set_result(failures.RELAY_STOPS)

    async def run(self) -> None:
        """Sends reads to the mod, at its pace. Never returns."""
        loop = asyncio.get_running_loop()
        while True:
            self._woken.clear()
            for subject in self._queue.take(time.monotonic()):
                task = loop.create_task(self._read(subject))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            now_s = time.monotonic()
            timer: asyncio.TimerHandle | None = None
            if (wait_s := self._queue.wait_s(now_s)) is not None:
                if not self._queue.request_waits:
                    wait_s = next_shared_s(now_s + wait_s, REFRESHES_PERIOD_S) - now_s
                timer = loop.call_later(wait_s + TIMER_EARLY_S, self._woken.set)
            await self._woken.wait()
            if timer:
                timer.cancel()

    def _queue_read(self, subject: Subject, need: Need) -> None:
        if not self._refuses and self._queue.add(subject, time.monotonic(), need):
            self._woken.set()

    async def _wait_for_mod(self, subject: Subject) -> Outcome:
        """Waits for the mod's answer. Equal reads wait for one command. If this process stood still before,
        the request may have waited unread, and has that much less time."""
        action, game_id = subject
        within_s = MOD_ANSWERS_WITHIN_S - self._command_queue.stalls.waited_s(boottime_s())
        waited_for = self._waited_for.get(subject)
        if waited_for is None:
            if self._refuses:
                return failures.RELAY_STOPS
            # Takaro asks for this read of all players at one moment, and loses nothing if it gets an error.
            in_bursts = action in OF_EACH_PLAYER and not (
                action is Action.GET_PLAYER_LOCATION and self._mirror.event_waits(game_id, boottime_s())
            )
            if len(self._waited_for) >= (self._most_in_bursts if in_bursts else MAX_WAITED_FOR):
                self._queue_read(subject, Need.UNKNOWN)
                return failures.QUEUE_FULL
            waited_for = self._waited_for[subject] = asyncio.get_running_loop().create_future()
        self._queue_read(subject, Need.WAITED_FOR)
        await asyncio.wait([waited_for], timeout=max(0.0, within_s))
        if waited_for.done():
            return waited_for.result()
        contact = self._command_queue.contact
        if contact.store_away:
            return failures.STORE_AWAY
        if contact.silent_s is not None and contact.silent_s < MOD_ANSWERS_WITHIN_S:
            return failures.NO_ANSWER
        return failures.not_delivered(contact.silent_s)

    async def _read(self, subject: Subject) -> None:
        """Asks the mod and answers the requests that wait. The read has ended then, whatever happens."""
        result: Outcome = failures.NO_RESULT
        try:
            result = await self._ask_mod(subject)
        except Exception as error:
            self._metrics.service.faults.caught(self._logger, FaultKind.REQUEST, error)
        finally:
            self._metrics.refreshes.labels(
                subject.action, "failed" if isinstance(result, CommandFailure) else "answered"
            ).inc()
            if self._queue.done(subject):
                self._woken.set()
            if waited_for := self._waited_for.pop(subject, None):
                waited_for.set_result(result)

    async def _ask_mod(self, subject: Subject) -> Outcome:
        """The mod's answer. If it is valid, the mirror has taken it in."""
        action, game_id = subject
        args = {"gameId": game_id} if game_id else {}
        command = Command(new_operation_id(action), action, args)
        result = await self._command_queue.ask(command, request_waits=subject in self._waited_for)
        if result.value is None or result.error:
            return result
        check = partial(answer_fault, action, result.value)
        # A catalogue has tens of thousands of rows: checking them would hold up the loop.
        wrong = await asyncio.to_thread(check) if action in CATALOGUES else check()
        if not wrong and action is Action.GET_PLAYER and result.value["gameId"] != game_id:
            wrong = "it is about another player"
        if wrong:
            return Outcome(error=f"the game server's answer cannot be used: {wrong}")
        if action is Action.LIST_BANS and (seen := await _looked_up(self._data.players())):
            result = Outcome(await asyncio.to_thread(with_known_players, result.value, seen.values()))
        self._mirror.take_answer(subject, result.value, boottime_s())
        if action is Action.GET_PLAYERS:
            for player in result.value:
                self.joined(player["gameId"])
        if action in CATALOGUES:  # the next request is answered from Redis
            with contextlib.suppress(StoreError):
                await self._persistence.save()
        return result


async def _looked_up(call: Awaitable[T]) -> T | None:
    """What Redis knows; None if it does not answer in time."""
    try:
        async with asyncio.timeout(LOOK_UP_WITHIN_S):
            return await call
    except (StoreError, TimeoutError):
        return None
