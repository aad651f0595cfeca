"""The commands of one instance: writes them for a poll, and takes the mod's results."""

import asyncio
import contextlib
import time
from typing import Any

import orjson

from services.modapi.dialect.bodies import UnreadableBody, read_object
from services.modapi.dialect.flatten import flatten
from services.modapi.dialect.identity import Contradiction
from services.modapi.dialect.results import LISTS, map_result, rows_of
from services.modapi.dialect.roster import MOST_PLAYERS, Roster
from services.modapi.events import READ_AT_ONCE_BYTES
from services.modapi.metrics import ModapiMetrics
from services.relay.protocol.command_states import NOT_DELIVERED, action_of
from services.relay.protocol.errors import StoreError
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import Action
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.store.command_stream import CommandStream


class ModCommands:
    def __init__(
        self, stream: CommandStream, roster: Roster, metrics: ModapiMetrics, logger: InstanceLogger
    ) -> None:
        self.stream = stream
        self._roster = roster
        self._metrics = metrics
        self._logger = logger
        self._logged_actions: set[Action] = set()

    def poll_answer(self, commands: list[Command]) -> bytes:
        """The answer to a poll; b"": there are no commands."""
        if not commands:
            return b""
        now_ms = int(time.time() * 1000)
        operations = []
        for command in commands:
            try:
                args = flatten(command.action, command.args, now_ms)
            except Exception as error:  # the other commands of this poll must reach the mod
                self._metrics.service.faults.caught(self._logger, FaultKind.REQUEST, error)
                failure = Outcome(error=f"{NOT_DELIVERED}: the relay failed on this command, see its log")
                self.stream.refuse(command.operation_id, failure)
                continue
            self._metrics.handed.labels(command.action).inc()
            operations.append(
                {"operationId": command.operation_id, "action": command.action, "argsJson": args}
            )
        return orjson.dumps({"operations": operations}) if operations else b""

    async def is_asked(self, operation_id: str) -> bool:
        """Whether a request waits for the result of this operation. Raises StoreError."""
        return action_of(operation_id) is not None and await self.stream.is_handed(operation_id)

    async def take_result(self, operation_id: str, body: bytes) -> bool:
        """Stores a result of the mod. False: no request waits for it. Raises StoreError."""
        action = action_of(operation_id)
        if action is None:
            self._metrics.foreign.inc()
            return False
        players: dict[str, bytes] = {}
        try:
            if len(body) <= READ_AT_ONCE_BYTES:
                outcome, label, missing = _read(action, body)
            else:  # a catalogue of several MB: in a thread, so that other calls need not wait
                outcome, label, missing = await asyncio.to_thread(_read, action, body)
            if missing:
                self._left_out(action, missing)
            if action is Action.GET_PLAYER and outcome.value:
                outcome = Outcome(self._completed(outcome.value))
            elif action is Action.GET_PLAYERS and outcome.value:
                if len(outcome.value) > MOST_PLAYERS:
                    self._metrics.beyond("mirror_players")
                players_read = outcome.value[:MOST_PLAYERS]  # each takes 25 µs, and other calls wait
                outcome = Outcome(list(filter(None, map(self._completed, players_read))))
            # These results name players, as events do.
            if action in (Action.GET_PLAYER, Action.GET_PLAYERS):
                players = self._roster.take_changes()
        except Exception as error:
            outcome, label = self._faulty(error), "fault"
        accepted = False
        try:
            try:
                accepted = await self.stream.complete(operation_id, outcome, players)
            except StoreError:
                raise
            except Exception as error:  # it cannot be serialized: raised before anything was sent
                accepted = await self.stream.complete(operation_id, self._faulty(error), players)
        finally:
            if players and not accepted:
                self._roster.give_back(players)
        self._metrics.results.labels(action, label if accepted else "late").inc()
        return accepted

    def _left_out(self, action: Action, count: int) -> None:
        """Counts the rows that are left out. Logs it once for each action: Takaro asks again and again."""
        self._metrics.rows_left_out.labels(action).inc(count)
        if action not in self._logged_actions:
            self._logged_actions.add(action)
            self._logger.warning(
                "%d rows of the mod's answer to %s are left out: Takaro would refuse the whole list for a row"
                " without a name, an id, a place, or a date that can be read",
                count,
                action.value,
            )

    def _faulty(self, error: Exception) -> Outcome:
        """The outcome if our own code failed on a result: the mod posts it once, so Takaro gets an error."""
        self._metrics.service.faults.caught(self._logger, FaultKind.RESULT, error)
        return Outcome(error="the game server has answered, but the relay failed on it: see its log")

    def _completed(self, player: dict[str, Any]) -> dict[str, Any] | None:
        """The player with name and ids, remembered from now on; None: the record contradicts the roster."""
        with contextlib.suppress(Contradiction):
            return self._roster.complete(player) or player
        return None


def _read(action: Action, body: bytes) -> tuple[Outcome, str, int]:
    """The outcome, its label in the metrics, and the number of rows that are left out."""
    try:
        answer = read_object(body)
    except UnreadableBody as error:
        return Outcome(error=f"the game server's answer could not be read: {error}"), "unreadable", 0
    result = answer.get("result")
    outcome = map_result(action, answer.get("ok"), result, answer.get("error"))
    if action not in LISTS or outcome.value is None:
        return outcome, "accepted", 0
    return outcome, "accepted", len(rows_of(result)) - len(outcome.value)
