"""Reads of one instance: answered from the mirror, which asks the mod only for what is missing or old."""

import asyncio
import contextlib
import logging
import random
import time
from functools import partial
from typing import Any

import orjson

from services.relay.instances.state import InstanceState
from services.relay.protocol.errors import StoreError
from services.relay.protocol.operation_ids import new_operation_id
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.service.clocks import wall_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.uplink.connection.closing_times import ClosingTimes
from services.uplink.reporting.metrics import ANSWERED, FRESH, MADE_UP, STALE, UplinkMetrics
from services.uplink.requests.command_queue import CommandQueue
from services.uplink.requests.mirror.banned import known_as
from services.uplink.requests.mirror.mirror import Mirror, Subject
from services.uplink.requests.mirror.persistence import MirrorPersistence
from services.uplink.requests.mirror.read_rules import CATALOGUES, READ_RULES, AnswerAge
from services.uplink.requests.mirror.refreshes import Refreshes
from services.uplink.requests.mod_contact import Contact
from services.uplink.takaro import failures
from services.uplink.takaro.answer_rules import is_valid_answer
from services.uplink.takaro.answers import payload_for
from services.uplink.takaro.failures import Cause, CommandFailure

LOOK_UP_WITHIN_S = 0.7
FOUND_WITHIN_S = 7.0
"""A read that nobody could answer is given up this early: at a cold start thousands end at one moment, and
each of them must be told before Takaro's 10 s are over."""

MIN_WAITED_FOR = 20
"""So many different reads may be waited for at the least, however slow the pace."""

MAX_WAITED_FOR = 2_000
"""And so many at the most, of those too that Takaro does not ask in bursts."""

CALM_S = (0.5, 2.5)
"""So long a refresh that nobody waits for is put off, a different time for each instance: Takaro asks about
all of them at one moment, and its answers come first."""

Answer = tuple[bytes, str]
"""A response payload as JSON, and where it came from: a label of the metric."""


logger = logging.getLogger(__name__)


class Reads:
    """Answers the reads of one instance."""

    def __init__(
        self,
        command_queue: CommandQueue,
        mirror: Mirror,
        persistence: MirrorPersistence,
        state: InstanceState,
        contact: Contact,
        metrics: UplinkMetrics,
        per_s: float,
    ) -> None:
        self._command_queue = command_queue
        self._mirror = mirror
        self._persistence = persistence
        self._state = state
        self._logger = InstanceLogger(logger, state.slug)
        self._refuses = False
        self._contact = contact
        self._metrics = metrics
        self._refreshes = Refreshes(per_s, random.uniform(*CALM_S), time.monotonic())
        self._can_wait = max(MIN_WAITED_FOR, int(per_s * FOUND_WITHIN_S))  # more than these come too late
        self._waited_for: dict[Subject, asyncio.Future[Outcome | CommandFailure]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._kick = asyncio.Event()

    def known(self, action: Action, args: dict[str, Any]) -> Answer | None:
        """The answer if it is at hand; what is old is asked for anew on the side."""
        subject = Subject(action, args.get("gameId", ""))
        age, payload = self._mirror.read(subject, wall_s())
        if payload is None:
            return None
        if age is AnswerAge.STALE:
            self._want(subject, somebody_waits=False)
        return payload, STALE if age is AnswerAge.STALE else FRESH

    async def found(self, action: Action, args: dict[str, Any]) -> Answer:
        """The answer in any case: looked up, or waited for, or what stands for one."""
        subject = Subject(action, args.get("gameId", ""))
        if action in CATALOGUES and (stored := await self._catalogue(subject)):
            return stored
        if action is Action.GET_PLAYER and (person := await self._person(subject.game_id)):
            return orjson.dumps(person), FRESH  # not online, and so not changed since
        result = await self._from_mod(subject)
        if isinstance(result, Outcome) and result.value is not None and not result.error:
            return orjson.dumps(result.value), ANSWERED  # _refresh has found it valid
        return self.instead(action, args, result)

    def instead(self, action: Action, args: dict[str, Any], result: Outcome | CommandFailure) -> Answer:
        """What Takaro is told when the mod gave no answer: an error, but for a position.

        The last known one is better than none. If none is known and an event waits for the answer, a position
        is made up: Takaro would lose the event.
        """
        outcome = Outcome(error=result.text) if isinstance(result, CommandFailure) else result
        game_id = args.get("gameId", "")
        if action is Action.GET_PLAYER_LOCATION:
            if place := self._mirror.place(game_id):
                return orjson.dumps(place), STALE
            now_s = wall_s()
            if self._mirror.event_waits(game_id, now_s):
                return self._mirror.make_up_place(now_s), MADE_UP
        label = result.cause if isinstance(result, CommandFailure) else Cause.REFUSED
        return orjson.dumps(payload_for(action, args, outcome)), label

    async def leave(self, closing_times: ClosingTimes) -> None:
        """From `fetched_by_s` on nothing more is asked of the mod: who waits for it is told."""
        await asyncio.sleep(closing_times.fetched_by_s - time.monotonic())
        self._refuses = True
        for subject in self._refreshes.clear():
            if waited_for := self._waited_for.pop(subject, None):
                waited_for.set_result(failures.closing_times())

    async def run(self) -> None:
        """Asks the mod for what is wanted, at its pace. Never returns."""
        while True:
            self._kick.clear()
            for subject in self._refreshes.take(time.monotonic()):
                task = asyncio.create_task(self._refresh(subject))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._refreshes.wait_s(time.monotonic())):
                    await self._kick.wait()

    def _want(self, subject: Subject, *, somebody_waits: bool) -> None:
        if self._refuses:
            return
        if self._refreshes.want(subject, time.monotonic(), somebody_waits=somebody_waits):
            self._kick.set()

    async def _from_mod(self, subject: Subject) -> Outcome | CommandFailure:
        """Equal reads wait for one operation. What could not come in time anyway is not waited for."""
        waited_for = self._waited_for.get(subject)
        if waited_for is None and self._refuses:
            return failures.closing_times()
        if waited_for is None:
            if len(self._waited_for) >= (
                self._can_wait if self._comes_in_bursts(subject) else MAX_WAITED_FOR
            ):
                self._want(subject, somebody_waits=False)
                return failures.queue_full()
            waited_for = self._waited_for[subject] = asyncio.get_running_loop().create_future()
        self._want(subject, somebody_waits=True)
        await asyncio.wait([waited_for], timeout=FOUND_WITHIN_S)
        return waited_for.result() if waited_for.done() else failures.not_delivered(self._contact.silent_s)

    def _comes_in_bursts(self, subject: Subject) -> bool:
        """Whether Takaro asks for this of each player at one moment, and nothing hangs on the answer."""
        action, game_id = subject
        waits = action is Action.GET_PLAYER_LOCATION and self._mirror.event_waits(game_id, wall_s())
        return READ_RULES[action].of_each_player and not waits

    async def _refresh(self, subject: Subject) -> None:
        """Asks the mod, and tells those who wait for it; whatever happens, it is not under way any more."""
        result: Outcome | CommandFailure = failures.no_result()
        try:
            with self._metrics.service.faults.kept(self._logger, FaultKind.REQUEST):
                result = await self._asked(subject)
        finally:
            self._metrics.refreshes.labels(
                subject.action, "failed" if isinstance(result, CommandFailure) else "answered"
            ).inc()
            if self._refreshes.done(subject):
                self._kick.set()
            if waited_for := self._waited_for.pop(subject, None):
                waited_for.set_result(result)

    async def _asked(self, subject: Subject) -> Outcome | CommandFailure:
        """What the mod says; the mirror has it then, if it is valid."""
        action, game_id = subject
        args = {"gameId": game_id} if game_id else {}
        command = Command(new_operation_id(action), action, args)
        result = await self._command_queue.ask(command, somebody_waits=subject in self._waited_for)
        if not isinstance(result, Outcome) or result.value is None or result.error:
            return result
        check = partial(is_valid_answer, action, result.value)
        # A catalogue has tens of thousands of rows: they are looked at beside the loop.
        wrong = await asyncio.to_thread(check) if action in CATALOGUES else check()
        if not wrong and action is Action.GET_PLAYER and result.value["gameId"] != game_id:
            wrong = "it is about another player"
        if wrong:
            return Outcome(error=f"the game server's answer cannot be used: {wrong}")
        if action is Action.LIST_BANS:
            result = await self._with_known_names(result)
        self._mirror.answered(subject, result.value, wall_s())
        if action in CATALOGUES:  # the next who asks is answered from Redis
            with contextlib.suppress(StoreError):
                await self._persistence.save()
        return result

    async def _catalogue(self, subject: Subject) -> Answer | None:
        age, _ = self._mirror.read(subject, wall_s())
        if age is AnswerAge.UNKNOWN:
            return None
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN_S):
                payload = await self._persistence.catalogue(subject.action)
        except (StoreError, TimeoutError):
            return None
        if payload and age is AnswerAge.STALE:
            self._want(subject, somebody_waits=False)
        return (payload, STALE if age is AnswerAge.STALE else FRESH) if payload else None

    async def _with_known_names(self, bans: Outcome) -> Outcome:
        """A mod's ban list holds ids where Takaro takes names."""
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN_S):
                seen = await self._state.players()
        except (StoreError, TimeoutError):
            return bans
        return Outcome(await asyncio.to_thread(known_as, bans.value, seen.values()))

    async def _person(self, game_id: str) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN_S):
                return await self._state.player(game_id)
        except (StoreError, TimeoutError):
            return None
