"""The commands for the mod of one instance in Redis, and the mod's results.

The states are those of protocol/command_states.py. Each move is one script on Redis' own clock, so that no
two processes can disagree about it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from services.relay.protocol.command_states import NOT_DELIVERED, CommandState
from services.relay.protocol.errors import NotCarriedOut, StoreError
from services.relay.protocol.keys import WAKE_MODAPI, WAKE_RESULTS, keys_of
from services.relay.protocol.limits import DEFAULT_LIMITS
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import ACTION_KINDS, HAND_OUT_WITHIN_S, Action, ActionKind
from services.relay.store.calls import has_value, ignore_error
from services.relay.store.client import RETRY_EVERY_S, Script, Store
from services.relay.store.clock import moment_ms
from services.relay.store.connection import Argument
from services.relay.store.event_stream import CALL_WITHIN_S, CONTACT_EVERY_MS

KEEP_MS = 30_000  # time after which commands and results are deleted: Takaro gives up after 10 s

KEYS_EXPIRE_MS = 30 * 86_400_000  # longer than Redis' clock is likely to be set

REPLY_WITHIN_S = (
    0.2  # behind `take_within_s` commands still go to the mod: later, a write could come too late
)


@dataclass(frozen=True, slots=True)
class CommandBounds:
    """The bounds of a command stream, which tests make smaller. A mod runs all commands of one poll within
    one frame of the game, so a poll gets at most `poll_commands` with `poll_bytes` of arguments."""

    poll_commands: int = 40
    poll_bytes: int = 32 * 1024
    keep_ms: int = KEEP_MS
    keep_newest: int = 100  # commands that are remembered for longer: Redis' clock may have been set forward
    keys_expire_ms: int = KEYS_EXPIRE_MS
    longest_ms: int = round(HAND_OUT_WITHIN_S * 1000) + 1_000  # to a deadline, unless that clock was set back
    take_within_s: float = 1.8  # the reply has to be back before the pipeline's CALL_TIMEOUT_S


DEFAULT_BOUNDS = CommandBounds()

_ENQUEUE = Script("enqueue")
_HAND_OUT = Script("hand_out")
_HAND_BACK = Script("hand_back")
_COMPLETE = Script("complete")
_GIVE_UP = Script("give_up")


class CommandStream:
    """The commands and results of the instance `slug`."""

    def __init__(
        self,
        store: Store,
        slug: str,
        most_waiting: int = DEFAULT_LIMITS.open_commands,
        bounds: CommandBounds = DEFAULT_BOUNDS,
    ) -> None:
        self._store = store
        self._bounds = bounds
        self._kept = bounds.keep_newest, bounds.keys_expire_ms
        self._most_waiting = most_waiting
        self._slug = slug
        keys = self._keys = keys_of(slug)
        self._ending_keys = keys.waiting, keys.handed, keys.ended
        self._back_keys = keys.writes, keys.reads, keys.waiting, keys.handed
        self._newest = 0.0, 0  # deadline of the newest write, on time.monotonic() and on Redis' clock in ms
        self._refusing: set[asyncio.Task[bool]] = set()

    # uplink's side

    async def enqueue(self, command: Command, deadline_s: float, *, request_waits: bool = True) -> bool:
        """Queues a command for the next poll. False: too many commands wait already.

        Polls take writes first, then reads that a request waits for, then refreshes, which end no hold.
        It is handed out before `deadline_s` (on time.monotonic()) or never. Raises NotCarriedOut if Redis
        refused it until then: it is not queued. Raises StoreError if it may be queued.
        """
        keys, is_write = self._keys, ACTION_KINDS[command.action] is ActionKind.WRITE
        lane = keys.writes if is_write else keys.reads if request_waits else keys.refreshes
        maybe_queued, error = False, NotCarriedOut("Redis: away until it was too late")
        ask_clock = is_write  # a read does no harm after its deadline
        while deadline_s > time.monotonic():
            try:
                deadline_ms = await self._on_redis_clock(deadline_s, ask=ask_clock)
            except StoreError as failed:
                error = NotCarriedOut(str(failed))
                await asyncio.sleep(RETRY_EVERY_S)
                continue
            if lane != keys.refreshes:
                self._store.hint(WAKE_MODAPI, self._slug)  # it is sent behind the command
            queueing = self._store.run(
                _ENQUEUE,
                (lane, keys.waiting, keys.handed, keys.ended),
                command.operation_id,
                command.action,
                orjson.dumps(command.args),
                deadline_ms,
                self._most_waiting,
                self._bounds.keep_ms,
                *self._kept,
                self._bounds.longest_ms,
            )
            try:
                reply = await queueing
            except StoreError as failed:
                maybe_queued = maybe_queued or not isinstance(failed, NotCarriedOut)
                error = NotCarriedOut(str(failed))
                await asyncio.sleep(RETRY_EVERY_S)  # to repeat it is safe: it is queued once
                continue
            if reply != b"late":
                return bool(reply == b"queued")
            # It was stuck on its way, or Redis' clock was set: that clock is asked, then it is queued anew.
            maybe_queued, ask_clock = False, True
        raise StoreError(str(error)) if maybe_queued else error

    async def _on_redis_clock(self, moment_s: float, *, ask: bool) -> int:
        """A moment of time.monotonic() on Redis' clock, in ms. Early by at most the time of the reply.

        Without `ask`, the last reply that showed the time is believed: a step of the clock is noticed late.
        With it, a later deadline never comes out earlier than the one before, however long the two replies
        took: an admin's writes must run in the order in which they came, and deadlines decide that.
        """
        key = self._keys.contact
        if not ask:
            earliest_us, _ = await self._store.redis_us(key, moment_s)
            return earliest_us // 1000
        asked_s = time.monotonic()
        redis_us = await self._store.read_clock(key)
        newest_s, newest_ms = self._newest
        is_newest = moment_s >= newest_s
        not_before_ms = newest_ms if is_newest else 0
        found_ms = moment_ms(moment_s, redis_us, asked_s, time.monotonic(), not_before_ms)
        if is_newest:
            self._newest = moment_s, found_ms
        return found_ms

    async def give_up(
        self,
        operation_id: str,
        *,
        within_s: float = CALL_WITHIN_S,
        maybe_unqueued: bool = False,
        unfetched_only: bool = False,
    ) -> CommandState | None:
        """Ends a command. Returns EXPIRED or UNKNOWN, None if it had ended before. Raises StoreError.

        `maybe_unqueued`: it may not have been queued. Then it is EXPIRED, and cannot be queued later.
        `unfetched_only`: does not end a command that a poll has fetched, and returns None.
        """
        how = self._bounds.keys_expire_ms, "1" if maybe_unqueued else "0", "1" if unfetched_only else "0"
        reply: bytes = await self._store.run_until(
            within_s, _GIVE_UP, self._ending_keys, operation_id, *how, once=True
        )
        return CommandState(reply.decode()) if reply else None

    async def results(self, after: str, count: int) -> list[tuple[str, str, Outcome]]:
        """Up to `count` results after the entry id `after`: (entry id, operation id, outcome). An outcome
        that cannot be read is an error of its own command: the results behind it must not wait."""
        start = f"({after}" if after else "-"
        results = []
        for entry, fields in await self._store.send("XRANGE", self._keys.results, start, "+", "COUNT", count):
            try:
                stored = orjson.loads(fields[3])  # a newer version may have written more fields
                outcome = Outcome(stored.get("value"), stored.get("error", ""))
            except (ValueError, AttributeError):
                outcome = Outcome(error="the relay cannot read what it kept of the game server's answer")
            results.append((entry.decode(), fields[1].decode(), outcome))
        return results

    def abandon(self, operation_id: str) -> None:
        """Ends a command that no request waits for any more: it must not be handed out later."""
        how = self._bounds.keys_expire_ms, "1", "0"
        self._store.run(_GIVE_UP, self._ending_keys, operation_id, *how).add_done_callback(ignore_error)

    def delete_results(self, entries: Sequence[str]) -> None:
        """Deletes results that their requests have received. If this call is lost, they expire."""
        self._store.send_unawaited("XDEL", self._keys.results, *entries)

    async def delete_unclaimed(self, entry: str) -> bool:
        """Deletes a result that no request waits for. False: it is gone already. Raises StoreError."""
        return bool(await self._store.send("XDEL", self._keys.results, entry))

    # modapi's side

    async def take(self, *, refreshes_alone: bool = True) -> list[Command]:
        """Hands out the commands that wait, and notes that the mod has called. Raises StoreError.

        Refreshes are handed out with other commands, and alone if `refreshes_alone`. Nothing is taken after
        `take_within_s`, however long the call takes. Cancel it when the mod has hung up: then it is not sent,
        and commands that Redis has handed out already are handed back.
        """
        keys = self._keys
        until_s = time.monotonic() + self._bounds.take_within_s
        while True:
            until_us, _ = await self._store.redis_us(keys.contact, until_s)
            asked_s = time.monotonic()
            handing_out = self._store.run(
                _HAND_OUT,
                (keys.writes, keys.reads, keys.refreshes, keys.waiting, keys.handed, keys.contact),
                self._bounds.poll_commands,
                self._bounds.poll_bytes,
                CONTACT_EVERY_MS,
                self._bounds.keep_ms,
                "1" if refreshes_alone else "0",
                until_us,
                *self._kept,
                self._bounds.longest_ms,
                durable=True,  # a failover that forgot it would hand it out again
                orphaned=self._hand_back_all,
                undo=self._undo_hand_out,
            )
            try:
                word, now_us, *taken = await handing_out
            except asyncio.CancelledError:
                if has_value(handing_out):  # it came a moment before the cancellation: it is not orphaned
                    self._hand_back_all(handing_out.result())
                raise
            self._store.clock_of(keys.contact).observe(now_us, asked_s, time.monotonic())
            if word == b"taken":
                commands, unknown = _commands(taken)
                if time.monotonic() > until_s + REPLY_WITHIN_S:  # this process stood still
                    self.hand_back(commands)
                    raise StoreError("Redis: it answered too late, or its clock was set")
                for operation_id in unknown:
                    self.refuse(operation_id, Outcome(error=f"{NOT_DELIVERED}: modapi is older than uplink"))
                return commands
            if until_s <= time.monotonic():
                raise StoreError("Redis: it answered too late, or its clock was set")

    def _hand_back_all(self, reply: Sequence[bytes]) -> None:
        """Hands back the commands of a reply that reaches nobody."""
        self.hand_back(_commands(reply[2:])[0])

    def hand_back(self, commands: Sequence[Command]) -> None:
        """Queues taken commands again, because the mod gave the poll up before anything was written to it. If
        that is lost, Takaro is told that they may have run."""
        if not commands:
            return
        self._store.hint(WAKE_MODAPI, self._slug)
        handing_back = self._store.run(_HAND_BACK, self._back_keys, *self._back_arguments(commands))
        handing_back.add_done_callback(ignore_error)

    def _undo_hand_out(self, reply: Sequence[bytes]) -> tuple[Argument, ...]:
        """The command that hands back what this reply of hand_out.lua hands out."""
        commands, _ = _commands(reply[2:])
        keys = self._back_keys
        call = "EVAL", _HAND_BACK.text, len(keys), *keys, *self._back_arguments(commands)
        return call if commands else ()

    def _back_arguments(self, commands: Sequence[Command]) -> list[Argument]:
        """The arguments of hand_back.lua."""
        backs: list[Argument] = [self._bounds.keep_ms, self._bounds.keys_expire_ms]
        for command in commands:
            # A read goes back as one that a request waits for: `take` does not tell whether one does.
            lane = 1 if ACTION_KINDS[command.action] is ActionKind.WRITE else 2
            backs += (lane, command.operation_id, command.action, orjson.dumps(command.args))
        return backs

    async def is_handed(self, operation_id: str) -> bool:
        """Whether the mod has this command and has not answered it. Raises StoreError."""
        return await self._store.send("ZSCORE", self._keys.handed, operation_id) is not None

    async def complete(self, operation_id: str, outcome: Outcome, players: Mapping[str, bytes]) -> bool:
        """Stores the mod's result for uplink. False: it is late, repeated or unknown. Raises StoreError."""
        keys = self._keys
        named: list[str | bytes] = []
        for player in players.items():
            named += player
        reply = await self._store.run_until(
            CALL_WITHIN_S,
            _COMPLETE,
            (keys.handed, keys.results, keys.contact, keys.players, keys.ended),
            operation_id,
            orjson.dumps({"value": outcome.value, "error": outcome.error}),
            self._bounds.keep_ms,
            WAKE_RESULTS,
            self._slug,
            CONTACT_EVERY_MS,
            *self._kept,
            *named,
            though_cancelled=True,  # a mod posts a result once (protocol.md M5)
        )
        return bool(reply)

    def refuse(self, operation_id: str, failure: Outcome) -> None:
        """Ends a taken command that cannot be written for the mod, without waiting for Redis. If that is
        lost, Takaro is told that it may have run."""
        task = asyncio.create_task(self.complete(operation_id, failure, {}))
        self._refusing.add(task)
        task.add_done_callback(self._refusing.discard)
        task.add_done_callback(ignore_error)


def _commands(taken: Sequence[bytes]) -> tuple[list[Command], list[str]]:
    """The taken commands, and the ids of those with an unknown action: uplink may be newer than modapi."""
    commands: list[Command] = []
    unknown: list[str] = []
    for operation_id, action, args in zip(taken[::3], taken[1::3], taken[2::3], strict=True):
        try:
            commands.append(Command(operation_id.decode(), Action(action.decode()), orjson.loads(args)))
        except ValueError:
            unknown.append(operation_id.decode())
    return commands, unknown
