"""The scripts and the table of states agree about every command, in any order of events."""

import asyncio
import time
import uuid
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.relay.protocol.command_states import CommandState, CommandTrigger, after
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import Command, Outcome
from services.relay.protocol.vocabulary import ACTION_KINDS, Action, ActionKind
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandBounds, CommandStream
from tests.support.redis_server import RedisServer, binaries

T = TypeVar("T")

MAX_WAITING = 5
CALL_WITHIN_S = 60.0
STEP_S, KEEP_S = 100, 100_000
"""Time passes in long steps: the real time of a test is nothing beside them."""

BOUNDS = CommandBounds(
    poll_commands=2,
    poll_bytes=100,
    keep_ms=KEEP_S * 1000,
    keep_newest=1_000,
    longest_ms=KEEP_S * 1000,
    take_within_s=CALL_WITHIN_S,
)


@dataclass
class Known:
    """A command with its state by the table."""

    command: Command
    place: int
    deadline_ms: int
    state: CommandState = CommandState.NEW
    handed: int = 0
    told: bool = False  # uplink has asked how far it came

    @property
    def order(self) -> tuple[bool, int, int]:
        is_write = ACTION_KINDS[self.command.action] is ActionKind.WRITE
        return not is_write, self.deadline_ms, self.place

    @property
    def size(self) -> int:
        return len(orjson.dumps(self.command.args))


class Commands(RuleBasedStateMachine):
    """Uplinks and mods that misbehave, a clock that is set, processes and a server that restart."""

    operations = Bundle("operations")

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server = server
        self.runner = asyncio.Runner()
        self.slug = f"test-{uuid.uuid4().hex[:12]}"
        self.keys = keys_of(self.slug)
        self.named = 0  # number of commands that were given a name
        self.known: dict[str, Known] = {}
        self.results: list[tuple[str, Outcome]] = []
        self.leapt_ms = 0
        self.may_be_killed = True
        self._connect()

    # uplink

    @rule(
        target=operations,
        action=st.sampled_from([Action.EXECUTE_CONSOLE_COMMAND, Action.GET_PLAYERS]),
        steps=st.integers(0, 3),
        lengths=st.lists(st.sampled_from([0, 0, 40, 200]), min_size=1, max_size=4),
    )
    def enqueue(self, action: Action, steps: int, lengths: list[int]) -> Any:
        operations = []
        for length in lengths:
            operation = f"{action}-{self.named}"
            self.named += 1
            # Refused ones too: how many there are to draw from must not depend on which of two reads that
            # were queued within a millisecond has the earlier deadline.
            operations.append(operation)
            command = Command(operation, action, {"command": "x" * length})
            room = len(self._in(CommandState.NEW)) < MAX_WAITING
            assert self._enqueue(command, (steps + 0.5) * STEP_S) is room
            if room:
                deadline_ms = int(self._send("ZSCORE", self.keys.waiting, operation)[0]) + self.leapt_ms
                self.known[operation] = Known(command, len(self.known), deadline_ms)
        return multiple(*operations)

    @rule(operation=operations)
    def enqueue_again_after_a_lost_reply(self, operation: str) -> None:
        if operation in self.known:
            assert self._enqueue(self.known[operation].command, STEP_S)

    @rule(operation=operations)
    def give_up(self, operation: str) -> None:
        if known := self.known.get(operation):
            untold = known.state is CommandState.EXPIRED and not known.told
            expected = self._moved(known, CommandTrigger.GIVEN_UP) or untold
            assert self._run(self.stream.give_up(operation)) is (known.state if expected else None)
            known.told = True

    # the mod

    @rule()
    def poll(self) -> None:
        expected: list[Known] = []
        size = 0
        for known in sorted(self._in(CommandState.NEW), key=lambda known: known.order)[
            : BOUNDS.poll_commands
        ]:
            size += known.size
            if expected and size > BOUNDS.poll_bytes:
                break
            expected.append(known)
        assert self._run(self.stream.take()) == [known.command for known in expected]
        for known in expected:
            known.handed += 1
            self._moved(known, CommandTrigger.TAKEN)

    @rule(operation=operations)
    def hang_up_before_the_answer_is_written(self, operation: str) -> None:
        """The mod gets nothing, so the command counts as never handed out."""
        if (known := self.known.get(operation)) is None:
            return

        async def hand_back() -> None:
            self.stream.hand_back([known.command])
            await self.store.ping()

        self._run(hand_back())
        if self._moved(known, CommandTrigger.HANDED_BACK):
            known.handed -= 1
            known.place = max(other.place for other in self.known.values()) + 1
            if known.deadline_ms < self.now_ms:
                self._moved(known, CommandTrigger.TIME_UP)

    @rule(operation=operations | st.just("giveItem-never-heard-of"), value=st.integers(0, 9))
    def result_first_or_repeated_or_late_or_foreign(self, operation: str, value: int) -> None:
        known = self.known.get(operation)
        counts = known is not None and self._moved(known, CommandTrigger.RESULT)
        assert self._run(self.stream.complete(operation, Outcome(value), {})) is counts
        if counts:
            self.results.append((operation, Outcome(value)))

    # the world

    @rule()
    def some_time_passes(self) -> None:
        self._leap(STEP_S)
        for known in self._in(CommandState.NEW):
            if known.deadline_ms < self.now_ms:
                self._moved(known, CommandTrigger.TIME_UP)

    @rule()
    def much_time_passes(self) -> None:
        """Or Redis' clock is set forward. No command is forgotten because of that: uplink may still wait."""
        self._leap(2 * KEEP_S)
        for known in self.known.values():
            self._moved(known, CommandTrigger.TIME_UP)

    @rule()
    def the_processes_restart(self) -> None:
        self._run(self.store.close())
        self._connect()

    @precondition(lambda self: self.may_be_killed)
    @rule()
    def the_server_is_killed_and_starts_on_its_log(self) -> None:
        self.may_be_killed = False
        self._run(self.store.close())
        self.server.kill()
        self.server.start()
        self._connect()

    # what is always true

    @invariant()
    def the_store_has_each_command_in_one_state_and_it_is_that_of_the_table(self) -> None:
        stored = self._send(*(("ZRANGE", key, 0, -1) for key in self._sets))
        waiting, handed, ended = ({member.decode() for member in members} for members in stored)
        for operation, known in self.known.items():
            ended_and_told = known.state is CommandState.EXPIRED and known.told
            assert (operation in waiting) is (
                known.state in (CommandState.NEW, CommandState.EXPIRED) and not ended_and_told
            )
            assert (operation in handed) is (known.state is CommandState.HANDED)
            assert (operation in ended) is (
                known.state in (CommandState.ANSWERED, CommandState.UNKNOWN) or ended_and_told
            )

    @invariant()
    def each_was_handed_out_once_or_never(self) -> None:
        for known in self.known.values():
            assert known.handed == (
                known.state in (CommandState.HANDED, CommandState.ANSWERED, CommandState.UNKNOWN)
            )

    @invariant()
    def the_first_results_wait_for_uplink_in_their_order(self) -> None:
        found = self._run(self.stream.results("", 1_000))
        assert [(operation, outcome) for _, operation, outcome in found] == self.results

    def teardown(self) -> None:
        try:
            self.much_time_passes()
            self.poll()
            for operation in self.known:
                self.give_up(operation)
            self._leap(2 * KEEP_S)
            assert self._send(("XLEN", self.keys.writes), ("XLEN", self.keys.reads)) == [0, 0]
            last = Command("shutdown-last", Action.SHUTDOWN, {})
            assert self._enqueue(last, STEP_S)
            assert self._run(self.stream.take()) == [last]
            assert self._run(self.stream.complete(last.operation_id, Outcome({}), {}))
            waiting, handed, ended = self._send(*(("ZRANGE", key, 0, -1) for key in self._sets))
            assert (waiting, handed) == ([], [])
            assert ended[-1] == b"shutdown-last"
            assert self._send("PTTL", self.keys.ended)[0] > 0
        finally:
            self._run(self.store.close())
            self.runner.close()

    # helpers

    @property
    def now_ms(self) -> int:
        return int(time.time() * 1000) + self.leapt_ms

    @property
    def _sets(self) -> tuple[str, str, str]:
        return self.keys.waiting, self.keys.handed, self.keys.ended

    def _in(self, state: CommandState) -> list[Known]:
        return [known for known in self.known.values() if known.state is state]

    def _moved(self, known: Known, trigger: CommandTrigger) -> bool:
        before, known.state = known.state, after(known.state, trigger)
        return known.state is not before

    def _leap(self, seconds: int) -> None:
        """Moves Redis' clock on: all stored times become that much older."""
        self.leapt_ms += seconds * 1000
        for key in self._sets:
            [members] = self._send("ZRANGE", key, 0, -1)
            self._send(*(("ZINCRBY", key, -seconds * 1000, member) for member in members))

    def _enqueue(self, command: Command, within_s: float) -> bool:
        return self._run(self.stream.enqueue(command, time.monotonic() + within_s))

    def _connect(self) -> None:
        async def connect() -> None:  # a store belongs to a loop
            self.store = Store(self.server.url, call_timeout_s=CALL_WITHIN_S)

        self._run(connect())
        self.stream = CommandStream(self.store, self.slug, MAX_WAITING, BOUNDS)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def _send(self, *commands: Any) -> list[Any]:
        """Sends one command, or several as tuples. Returns the replies."""
        several = commands if commands and isinstance(commands[0], tuple) else [commands] if commands else []

        async def replies() -> list[Any]:
            return await asyncio.gather(*(self.store.send(*command) for command in several))

        return self._run(replies())


@pytest.fixture(params=["valkey", "redis"])
def own_server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server that may be killed."""
    if request.param not in binaries():
        pytest.skip("redis-server is not installed: tests/install-packages installs it")
    server = RedisServer(binaries()[request.param])
    server.start()
    yield server
    server.remove()


def test_scripts_and_table_agree(own_server: RedisServer) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Commands(own_server),
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
