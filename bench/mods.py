"""The mods' side of the load, one process for all of them."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

from bench import traffic
from bench.mod import TICK_S, Mod
from bench.peer import Commands, serve

AGAIN_S = 1.0
"""A batch that was not taken is sent again with the next flush."""

JOINING_AT_ONCE = 20


class Tally:
    """What came of POSTs. Times are CLOCK_MONOTONIC; those by number are in ns, of marked events."""

    def __init__(self) -> None:
        self.begun_s = time.monotonic()
        self.took_s: list[float] = []
        self.failed = 0
        self.sent_ns: dict[int, int] = {}
        self.answered_ns: dict[int, int] = {}

    async def post(self, mod: Mod, body: bytes, marked: range = range(0)) -> bool:
        sent_ns = time.monotonic_ns()
        taken = await mod.post_events(body)
        now_ns = time.monotonic_ns()
        if taken:
            self.took_s.append((now_ns - sent_ns) / 1e9)
            self.sent_ns.update(dict.fromkeys(marked, sent_ns))
            self.answered_ns.update(dict.fromkeys(marked, now_ns))
        else:
            self.failed += 1
        return taken

    def report(self, events: int) -> dict[str, Any]:
        return {
            "events": events,
            "seconds": time.monotonic() - self.begun_s,
            "took_s": self.took_s,
            "failed": self.failed,
            "sent_ns": list(self.sent_ns.items()),
            "answered_ns": list(self.answered_ns.items()),
        }


class Mods:
    """The commands of this process."""

    def __init__(self) -> None:
        self._mods: list[Mod] = []
        self._living: list[asyncio.Task[None]] = []
        self._playing: list[asyncio.Task[None]] = []

    async def open(self, host: str, port: int, instances: int) -> None:
        self._mods = [Mod(number, host, port) for number in range(instances)]

    async def close(self) -> None:
        for task in self._living + self._playing:
            task.cancel()
        for mod in self._mods:
            mod.close()

    async def post_all(self, batch: int, events: int) -> dict[str, Any]:
        """Each mod posts its share of `events`: the next batch as soon as the last one is answered."""
        share = max(1, events // batch // len(self._mods))
        traffic.bodies(batch)  # built before the clock runs
        tally = Tally()

        async def post_share(mod: Mod) -> None:
            for _ in range(share):
                body = mod.next_body(batch)
                while not await tally.post(mod, body):
                    await asyncio.sleep(AGAIN_S)

        await asyncio.gather(*map(post_share, self._mods))
        return tally.report(share * batch * len(self._mods))

    async def post_paced(
        self, batch: int, rate: float, seconds: float, marked: bool = False
    ) -> dict[str, Any]:
        """All mods together post `rate` events a second, evenly spread and in turn. `marked`: the texts of
        the events tell them apart, and the report has their times."""
        batches = int(rate * seconds / batch)
        traffic.bodies(batch)  # built before the clock runs
        tally, posts = Tally(), []
        for number in range(batches):
            mod = self._mods[number % len(self._mods)]
            numbers = range(number * batch, (number + 1) * batch) if marked else range(0)
            body = traffic.marked_body(numbers) if marked else mod.next_body(batch)
            await asyncio.sleep(tally.begun_s + number * batch / rate - time.monotonic())
            posts.append(asyncio.create_task(tally.post(mod, body, numbers)))
        await asyncio.gather(*posts)
        return tally.report(batches * batch)

    async def join(self, players: int) -> None:
        """Each mod reports that many players as connected."""
        online = [traffic.player(number) for number in range(players)]
        for mod in self._mods:
            mod.world.players = {player.game_id: player for player in online}
        for body in traffic.connected(players):
            for at in range(0, len(self._mods), JOINING_AT_ONCE):
                some = self._mods[at : at + JOINING_AT_ONCE]
                await asyncio.gather(*(mod.post_events(body) for mod in some))

    async def live(self, poll_s: float = 2.0, event_every_s: float = 0.0) -> None:
        """Until `close()`: each mod polls, runs operations, and posts an event now and then."""
        chance = random.Random(0)
        for mod in self._mods:
            lives = [mod.poll(poll_s, chance.uniform(0, poll_s))]
            if event_every_s:
                lives.append(mod.happen(event_every_s, chance.uniform(0, event_every_s)))
            self._living += map(asyncio.create_task, lives)

    async def play(self, players: int) -> None:
        """Start games that report an event a second each on average, until `rest()`."""
        for number, mod in enumerate(self._mods):
            chance = random.Random(number)
            playing = mod.play(players, chance.uniform(0, TICK_S), chance)
            self._playing.append(asyncio.create_task(playing))

    async def rest(self) -> int:
        """No more events. Returns how many the relay took since `play`."""
        for mod in self._mods:
            mod.resting = True
        await asyncio.gather(*self._playing)
        return sum(mod.taken_events for mod in self._mods)

    async def counts(self) -> dict[str, Any]:
        return {
            "operations": sum(mod.operations for mod in self._mods),
            "failed": sum((mod.failures for mod in self._mods), Counter()),
        }

    def commands(self) -> Commands:
        names = ("open", "close", "post_all", "post_paced", "join", "live", "play", "rest", "counts")
        return {name: getattr(self, name) for name in names}


if __name__ == "__main__":
    serve(lambda: Mods().commands())
