"""Takaro's requests to one instance, from arrival to answer: on the socket that asked, and in time."""

import asyncio
import time
from typing import Any

from services.relay.command_stream import CommandStream
from services.relay.errors import StoreError
from services.relay.instance_state import InstanceState
from services.relay.leases import Lease
from services.relay.operation_ids import new_operation_id
from services.relay.records import Command, Outcome
from services.relay.vocabulary import ACTION_RULES, ANSWER_WITHIN_S, HAND_OUT_WITHIN_S, Action, Kind
from services.uplink.metrics import ANSWERED, OWN, TOO_LATE, Metrics
from services.uplink.takaro import failures, frames
from services.uplink.takaro.answer_rules import is_valid_answer
from services.uplink.takaro.answers import OWN_ANSWERS, KnownPlayer, payload_for, reachability
from services.uplink.takaro.contact import Contact
from services.uplink.takaro.failures import Cause, Failure
from services.uplink.takaro.requests import BadRequest, read_request
from services.uplink.wire import Wire

READ_RESULTS = 200
STORE_AGAIN_S = 0.25
GIVE_UP_WITHIN_S = 0.7
"""What is left of Takaro's 10 s after ANSWER_WITHIN_S, less the way of the answer."""


class Desk:
    """Answers the requests to one instance."""

    def __init__(
        self, stream: CommandStream, state: InstanceState, contact: Contact, lease: Lease, metrics: Metrics
    ) -> None:
        self._stream = stream
        self._state = state
        self._contact = contact
        self._lease = lease
        self._metrics = metrics
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}  # by operation id
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be results."""
        self._wake.set()

    def take(self, wire: Wire, request: frames.Request) -> None:
        """A request has arrived on `wire`."""
        try:
            action, args = read_request(request.action, request.args)
        except BadRequest as error:
            self._metrics.bad_requests.inc()
            wire.send(frames.error_response(request.request_id, str(error)))
            return
        if ACTION_RULES[action].kind is Kind.OURS:
            self._metrics.requests.labels(action, OWN).inc()
            wire.send(frames.response(request.request_id, self._own_answer(action)))
            return
        task = asyncio.create_task(self._serve(wire, request.request_id, action, args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _own_answer(self, action: Action) -> Any:
        if action is Action.TEST_REACHABILITY:
            return reachability(self._contact.silent_s, self._contact.store_away)
        return OWN_ANSWERS[action]

    async def _serve(self, wire: Wire, request_id: str, action: Action, args: dict[str, Any]) -> None:
        """Has the mod do it, and answers in any case: with the result, or with what is known of its fate."""
        begun_s = time.monotonic()
        result = await self._ask_mod(Command(new_operation_id(action), action, args), begun_s)
        outcome = Outcome(error=result.text) if isinstance(result, Failure) else result
        if outcome.error or outcome.value is None:
            known = await self._known(args.get("gameId", ""))
        else:
            known = None
            self._remember(action, args, outcome.value)
        payload = payload_for(action, args, outcome, known)
        self._metrics.request_seconds.labels(action).observe(time.monotonic() - begun_s)
        if not wire.open:
            self._metrics.requests.labels(action, TOO_LATE).inc()
            return
        wire.send(frames.response(request_id, payload))
        self._metrics.requests.labels(action, _label(result)).inc()

    async def _ask_mod(self, command: Command, begun_s: float) -> Outcome | Failure:
        result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[command.operation_id] = result
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                if not await self._stream.enqueue(command, begun_s + HAND_OUT_WITHIN_S):
                    return failures.queue_full()
                return await result
        except StoreError:
            return failures.store_away()
        except TimeoutError:
            return await self._give_up(command.operation_id)
        finally:
            del self._waiting[command.operation_id]

    async def _give_up(self, operation_id: str) -> Failure:
        """Time is up: from now on the command is not handed out any more. How far did it come?"""
        try:
            async with asyncio.timeout(GIVE_UP_WITHIN_S):
                fate = await self._stream.give_up(operation_id)
        except (StoreError, TimeoutError):
            return failures.store_away()
        if fate == "undelivered":
            return failures.not_delivered(self._contact.silent_s)
        return failures.no_result()

    async def _known(self, game_id: str) -> KnownPlayer | None:
        if not game_id:
            return None
        try:
            async with asyncio.timeout(GIVE_UP_WITHIN_S):
                return KnownPlayer(*await self._state.player(game_id))
        except (StoreError, TimeoutError):
            return None

    def _remember(self, action: Action, args: dict[str, Any], value: Any) -> None:
        """Where a player was last, for the day when the mod does not know."""
        if action is Action.GET_PLAYER_LOCATION and not is_valid_answer(action, value):
            self._state.remember_location(args["gameId"], value)

    async def pass_results_on(self) -> None:
        """Hands what mods answered to the requests that wait for it. Never returns. Raises LostLease."""
        through = ""
        while True:
            self._wake.clear()
            try:
                found = await self._stream.results(through, READ_RESULTS)
                for _, operation_id, outcome in found:
                    waiting = self._waiting.get(operation_id)
                    if waiting and not waiting.done():
                        waiting.set_result(outcome)
                    else:
                        self._metrics.unclaimed.inc()
                if found:
                    through = found[-1][0]
                    await self._stream.trim_results(self._lease.token, through)
            except StoreError:
                await asyncio.sleep(STORE_AGAIN_S)
                continue
            if not found:
                await self._wake.wait()


def _label(result: Outcome | Failure) -> str:
    if isinstance(result, Failure):
        return result.cause
    return Cause.REFUSED if result.error else ANSWERED
