"""One DayZ server of the bench: it posts, polls and runs operations as generation SCANNER does."""

import asyncio
import random
import time
from collections import Counter

from bench import traffic
from bench.caller import Caller
from bench.names import mod_key
from services.sim.dayz.events import write_batch
from services.sim.dayz.generations import Generation, Operation, read_args, read_operations
from services.sim.dayz.results import write_error, write_result
from services.sim.dayz.world import RefusedOperation, World

TICK_S = 1.0
"""The mod looks at its clocks once a second (protocol.md M1)."""


EVENTS_OF_A_FLUSH = (0, 1, 1, 2)
"""Equally likely numbers of events in a second."""


class Mod:
    """Uses one connection for polls, which may be held, and one for POSTs, one after the other."""

    def __init__(self, number: int, host: str, port: int) -> None:
        base = f"/k/{mod_key(number)}/gameserver/local"
        common = f"HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\n"
        post = f"{common}Content-Type: application/json\r\n"
        self._events_head = f"POST {base}/events {post}".encode()
        self._poll_request = f"GET {base}/poll {common}\r\n".encode()
        self._result_head = f"POST {base}/operation/%s/result {post}"
        self._poster, self._poller = Caller(host, port), Caller(host, port)
        self._posting = asyncio.Lock()
        self._results: set[asyncio.Task[None]] = set()
        self._next_body = 7 * number
        self.world = World()
        self.operations = 0
        self.taken_events = 0
        """Events of `play` that the relay took."""

        self.resting = False
        self.failures: Counter[str] = Counter()
        """Calls that were not answered with 200: which call, and its answer."""

    def close(self) -> None:
        self._poster.close()
        self._poller.close()

    async def post_events(self, body: bytes) -> bool:
        """Post a body made by `traffic`. False if the relay did not take it."""
        return await self._post("events", self._events_head, body)

    def next_body(self, batch: int) -> bytes:
        """The next batch of this server's game."""
        bodies = traffic.bodies(batch)
        self._next_body += 1
        return bodies[self._next_body % len(bodies)]

    async def happen(self, every_s: float, phase_s: float) -> None:
        """Post an event each `every_s`, forever."""
        await asyncio.sleep(phase_s)
        while True:
            await self.post_events(self.next_body(1))
            await asyncio.sleep(every_s)

    async def play(self, players: int, phase_s: float, chance: random.Random) -> None:
        """Flush once a second, until `resting`: an event a second on average, in a game of that many."""
        events = traffic.paced_events(players)
        at = chance.randrange(len(events))
        next_s = time.monotonic() + phase_s
        while not self.resting:
            await asyncio.sleep(next_s - time.monotonic())
            next_s += TICK_S
            count = chance.choice(EVENTS_OF_A_FLUSH)
            if not count:
                continue
            happened = [events[(at + number) % len(events)] for number in range(count)]
            at += count
            if await self.post_events(traffic.with_length(write_batch(happened))):
                self.taken_events += count

    async def poll(self, every_s: float, phase_s: float) -> None:
        """Poll forever: each time at the first tick that is `every_s` after the last poll began."""
        await asyncio.sleep(phase_s)
        next_s = time.monotonic()
        while True:
            status, body = await self._poller.ask(self._poll_request, b"")
            self._note("poll", status, body)
            for operation in read_operations(body) if status == 200 else ():
                task = asyncio.create_task(self._run(operation))
                self._results.add(task)
                task.add_done_callback(self._results.discard)
            next_s += every_s
            while next_s < time.monotonic():
                next_s += min(TICK_S, every_s)
            await asyncio.sleep(next_s - time.monotonic())

    async def _run(self, operation: Operation) -> None:
        self.operations += 1
        operation_id, action = operation.operation_id, operation.action
        try:
            args = read_args(Generation.SCANNER, action, operation.args_json)
            value = self.world.perform(action, args)
            body = write_result(Generation.SCANNER, operation_id, action, args, value)
        except RefusedOperation as error:
            body = write_error(Generation.SCANNER, operation_id, str(error))
        head = (self._result_head % operation_id).encode()
        await self._post("result", head, traffic.with_length(body))

    async def _post(self, call: str, head: bytes, tail: bytes) -> bool:
        async with self._posting:
            status, body = await self._poster.ask(head, tail)
        self._note(call, status, body)
        return status == 200

    def _note(self, call: str, status: int, body: bytes) -> None:
        if status != 200:
            self.failures[f"{call} {status or 'no answer'} {body.decode()}".rstrip()] += 1
