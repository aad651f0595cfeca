"""The mods' side of the load, one process for all of them: pre-built bytes over keep-alive connections."""

import asyncio
import random
import time
from collections.abc import Callable
from itertools import count
from typing import Any, cast

from bench import traffic
from bench.names import mod_key
from bench.peer import Commands, serve
from services.sim.dayz.generations import Generation, Operation, read_args, read_operations
from services.sim.dayz.results import write_error, write_result
from services.sim.dayz.world import Refused, World

AGAIN_S = 1.0
"""A batch that was not taken goes again at the next flush."""

TICK_S = 1.0
"""The mod looks at its clocks once a second (contract.md A1)."""

Done = Callable[[int, bytes], None]


class Caller(asyncio.Protocol):
    """One keep-alive connection with one request under way at most."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._done: Done | None = None
        self._request = b""
        self._got = b""
        self._opening: asyncio.Task[None] | None = None

    def call(self, head: bytes, tail: bytes, done: Done) -> None:
        """Writes a request; `done(status, body)` hears the answer, status 0 when there was none."""
        assert self._done is None
        self._done, self._got = done, b""
        if self._transport:
            self._transport.writelines((head, tail))
        else:
            self._request = head + tail
            self._opening = asyncio.create_task(self._open())

    def close(self) -> None:
        self._done = None
        if self._transport:
            self._transport.close()

    async def _open(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, self._host, self._port)
        except OSError:
            self._answered(0, b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop has transports of its own
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._done:
            self._answered(0, b"")

    def data_received(self, data: bytes) -> None:
        got = self._got = self._got + data if self._got else data
        head_end = got.find(b"\r\n\r\n")
        if head_end < 0:
            return
        at = got.find(b"content-length: ") + 16
        length = int(got[at : got.find(b"\r", at)])
        if len(got) - head_end - 4 >= length:
            self._answered(int(got[9:12]), got[head_end + 4 :])

    def _answered(self, status: int, body: bytes) -> None:
        done, self._done, self._got = self._done, None, b""
        if done:
            done(status, body)


class Mod:
    """One DayZ server: its heads, and two connections, as a poll may be held while the rest goes on."""

    def __init__(self, number: int, host: str, port: int) -> None:
        base = f"/k/{mod_key(number)}/gameserver/local"
        common = f"HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\n"
        post = f"{common}Content-Type: application/json\r\n"
        self.events_head = f"POST {base}/events {post}".encode()
        self.poll_request = f"GET {base}/poll {common}\r\n".encode()
        self.base, self.post_common = base, post
        self.poster, self.poller = Caller(host, port), Caller(host, port)
        self.at = number * 7
        self.world = World()
        self._posting = asyncio.Lock()

    async def poll(self) -> tuple[int, bytes]:
        return await _answer(self.poller, self.poll_request, b"")

    async def post(self, head: bytes, tail: bytes) -> tuple[int, bytes]:
        async with self._posting:
            return await _answer(self.poster, head, tail)

    def result_head(self, operation_id: str) -> bytes:
        return f"POST {self.base}/operation/{operation_id}/result {self.post_common}".encode()


class Tally:
    """What came of POSTs: latencies in seconds, and how many were not answered with 200."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.failed = 0

    def report(self, events: int, seconds: float) -> dict[str, Any]:
        return {"events": events, "seconds": seconds, "took_s": self.took_s, "failed": self.failed}


class Mods:
    """The commands of this process."""

    def __init__(self) -> None:
        self._mods: list[Mod] = []
        self._living: list[asyncio.Task[None]] = []
        self._operations = 0
        self._missed = 0

    async def open(self, host: str, port: int, instances: int) -> None:
        self._mods = [Mod(number, host, port) for number in range(instances)]

    async def close(self) -> None:
        for task in self._living:
            task.cancel()
        self._living = []
        for mod in self._mods:
            mod.poster.close()
            mod.poller.close()

    async def post_all(self, batch: int, events: int) -> dict[str, Any]:
        """Each mod posts its share of `events`, the next batch as soon as the last one is answered."""
        tally = Tally()
        bodies = traffic.bodies(batch)
        share = max(1, events // batch // len(self._mods))
        begun = time.monotonic()
        await asyncio.gather(*(self._post_share(mod, bodies, share, tally) for mod in self._mods))
        return tally.report(share * batch * len(self._mods), time.monotonic() - begun)

    async def _post_share(self, mod: Mod, bodies: tuple[bytes, ...], share: int, tally: Tally) -> None:
        loop = asyncio.get_running_loop()
        finished = loop.create_future()
        left, sent_s = share, 0.0

        def post() -> None:
            nonlocal sent_s
            sent_s = time.monotonic()
            mod.poster.call(mod.events_head, bodies[mod.at % len(bodies)], answered)

        def answered(status: int, body: bytes) -> None:
            nonlocal left
            if status != 200:
                tally.failed += 1
                loop.call_later(AGAIN_S, post)
                return
            tally.took_s.append(time.monotonic() - sent_s)
            mod.at += 1
            left -= 1
            if left:
                post()
            else:
                finished.set_result(None)

        post()
        await finished

    async def post_paced(
        self, batch: int, rate: float, seconds: float, marked: bool = False
    ) -> dict[str, Any]:
        """All mods together post `rate` events a second, evenly spread. `marked`: the texts tell the events
        apart, and `answered_ns` has the time at which the 200 for each came."""
        tally = Tally()
        sent_ns: dict[int, int] = {}
        answered_ns: dict[int, int] = {}
        bodies = traffic.bodies(batch)
        batches = int(rate * seconds / batch)
        finished: list[asyncio.Future[None]] = []
        begun = time.monotonic()
        for number in range(batches):
            await asyncio.sleep(begun + number * batch / rate - time.monotonic())
            mod = self._mods[number % len(self._mods)]
            numbers = range(number * batch, (number + 1) * batch)
            body = traffic.marked_body(numbers) if marked else bodies[mod.at % len(bodies)]
            mod.at += 1
            if finished and len(finished) >= len(self._mods):
                await finished[-len(self._mods)]  # the last one of this mod
            future = asyncio.get_running_loop().create_future()
            finished.append(future)
            self._post_once(mod, body, numbers, sent_ns, answered_ns, tally, future)
        await asyncio.gather(*finished)
        report = tally.report(batches * batch, time.monotonic() - begun)
        if marked:
            report |= {"sent_ns": list(sent_ns.items()), "answered_ns": list(answered_ns.items())}
        return report

    def _post_once(
        self,
        mod: Mod,
        body: bytes,
        numbers: range,
        sent_ns: dict[int, int],
        answered_ns: dict[int, int],
        tally: Tally,
        future: asyncio.Future[None],
    ) -> None:
        begun_ns = time.monotonic_ns()

        def answered(status: int, answer: bytes) -> None:
            now_ns = time.monotonic_ns()
            if status == 200:
                tally.took_s.append((now_ns - begun_ns) / 1e9)
                sent_ns.update(dict.fromkeys(numbers, begun_ns))
                answered_ns.update(dict.fromkeys(numbers, now_ns))
            else:
                tally.failed += 1
            future.set_result(None)

        mod.poster.call(mod.events_head, body, answered)

    async def join(self, players: int) -> None:
        """Each mod has this many players online, and says so."""
        batches = traffic.connected(players)
        for mod in self._mods:
            mod.world.players = {one.game_id: one for one in map(traffic.player, range(players))}
        for body in batches:
            for at in range(0, len(self._mods), 20):
                some = self._mods[at : at + 20]
                await asyncio.gather(*(mod.post(mod.events_head, body) for mod in some))

    async def live(self, poll_s: float = 2.0, event_every_s: float = 0.0) -> None:
        """Until `close`: each mod polls, does what it is told, and has an event now and then."""
        for number, mod in enumerate(self._mods):
            phase_s = random.Random(number).uniform(0, poll_s)
            self._living.append(asyncio.create_task(self._poll(mod, poll_s, phase_s)))
            if event_every_s:
                phase_s = random.Random(-number).uniform(0, event_every_s)
                self._living.append(asyncio.create_task(self._happen(mod, event_every_s, phase_s)))

    async def counts(self) -> dict[str, int]:
        return {"operations": self._operations, "missed": self._missed}

    async def _poll(self, mod: Mod, poll_s: float, phase_s: float) -> None:
        """The next poll begins at the first tick that is `poll_s` after the begin of the last one."""
        results: set[asyncio.Task[None]] = set()
        await asyncio.sleep(phase_s)
        tick_s = min(TICK_S, poll_s)
        next_s = time.monotonic()
        while True:
            status, body = await mod.poll()
            self._missed += status != 200
            for operation in read_operations(body) if status == 200 else ():
                task = asyncio.create_task(self._run(mod, operation))
                results.add(task)
                task.add_done_callback(results.discard)
            next_s += poll_s
            while next_s < time.monotonic():
                next_s += tick_s
            await asyncio.sleep(next_s - time.monotonic())

    async def _run(self, mod: Mod, operation: Operation) -> None:
        self._operations += 1
        try:
            args = read_args(Generation.SCANNER, operation.action, operation.args_json)
            value = mod.world.perform(operation.operation_id, operation.action, args)
            mod.world.effects.clear()
            body = write_result(Generation.SCANNER, operation.operation_id, operation.action, args, value)
        except Refused as error:
            body = write_error(Generation.SCANNER, operation.operation_id, str(error))
        status, _ = await mod.post(mod.result_head(operation.operation_id), traffic.with_length(body))
        self._missed += status != 200

    async def _happen(self, mod: Mod, every_s: float, phase_s: float) -> None:
        await asyncio.sleep(phase_s)
        bodies = traffic.bodies(1)
        for number in count(mod.at):
            status, _ = await mod.post(mod.events_head, bodies[number % len(bodies)])
            self._missed += status != 200
            await asyncio.sleep(every_s)

    def commands(self) -> Commands:
        names = ("open", "close", "post_all", "post_paced", "join", "live", "counts")
        return {name: getattr(self, name) for name in names}


async def _answer(caller: Caller, head: bytes, tail: bytes) -> tuple[int, bytes]:
    future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
    caller.call(head, tail, lambda status, body: future.set_result((status, body)))
    return await future


if __name__ == "__main__":
    serve(lambda: Mods().commands())
