"""Takaro's side of the load: takes events and answers pings cheaply, asks, and notes times."""

import asyncio
import random
import time
from typing import Any, cast

import orjson

from bench import websocket
from bench.asking import ANSWER_WITHIN_S, FOR_EVENT, Asked, request, said, sync_requests
from bench.names import number_of
from bench.peer import Commands, serve
from services.sim.takaro.requests import get_player

LATER_S = 1.0
FIRST_SYNC = 0.25
WORKER_S = 0.01
"""From an event's arrival until one of Takaro's workers asks for its player's position."""

LINKED_LOOK_S = 0.05


CONNECTED = websocket.frame(said("connected", {}))
PONG = websocket.frame(said("pong"))
# A payload begins with {"type":"…: its tenth byte tells the kinds apart, and is all that is looked at.
_KIND_AT = 9
_EVENT, _PING, _RESPONSE, _IDENTIFY = b"gpri"


class Link(asyncio.Protocol):
    """One socket of the relay."""

    def __init__(self, sink: "Sink") -> None:
        self._sink = sink
        self._rest = b""
        self._open = False
        self.number = -1
        self.transport: asyncio.Transport | None = None

    def write(self, data: bytes) -> None:
        assert self.transport
        self.transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop has transports of its own

    def connection_lost(self, error: Exception | None) -> None:
        if self._sink.links.get(self.number) is self:
            del self._sink.links[self.number]
            self._sink.lost_links += 1

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        data = self._rest + data
        if not self._open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self._open = True
            self.write(websocket.accept(head) + CONNECTED)
        at, sink, answers = 0, self._sink, []
        while found := websocket.next_frame(data, at):
            opcode, masked_at, at = found
            if opcode == websocket.TEXT:
                kind = data[masked_at + 4 + _KIND_AT] ^ data[masked_at + _KIND_AT % 4]
                if kind == _EVENT:
                    sink.events += 1
                    if sink.asks:
                        sink.event_came(self, data[masked_at:at])
                    if sink.keep:
                        sink.kept_events.append((now_ns, data[masked_at:at]))
                elif kind == _PING:
                    answers.append(PONG)
                elif kind == _RESPONSE:
                    sink.responses.append((now_ns, data[masked_at:at]))
                elif kind == _IDENTIFY:
                    answers.append(self._identified(found.payload(data)))
            elif opcode == websocket.PING:
                answers.append(websocket.frame(found.payload(data), websocket.PONG))
            elif opcode == websocket.CLOSE:
                answers.append(websocket.frame(found.payload(data), websocket.CLOSE))
        self._rest = data[at:]
        if answers:
            self.write(b"".join(answers))

    def _identified(self, payload: bytes) -> bytes:
        self.number = number_of(orjson.loads(payload)["payload"]["identityToken"])
        self._sink.links[self.number] = self
        return websocket.frame(said("identifyResponse", {"gameServerId": f"server-{self.number}"}))


class Sink:
    """The commands of this process."""

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}
        self.lost_links = 0
        self.events = 0
        self.asks = False
        self.keep = False
        self.kept_events: list[tuple[int, bytes]] = []
        self.responses: list[tuple[int, bytes]] = []
        self._asked = Asked()
        self._owed = 0
        """Answers still to come to requests that are in no later report."""
        self._server: asyncio.Server | None = None
        self._syncing: asyncio.Task[None] | None = None

    async def listen(self) -> str:
        """The URL for relay.toml."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), "127.0.0.1", 0, backlog=2048)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def linked(self, count: int, within_s: float = 60.0) -> None:
        """Wait until that many links have identified."""
        async with asyncio.timeout(within_s):
            while len(self.links) < count:
                await asyncio.sleep(LINKED_LOOK_S)

    async def count(self) -> dict[str, int]:
        return {"events": self.events, "links": len(self.links), "lost_links": self.lost_links}

    async def keep_events(self) -> None:
        """Note the time of every event from now on."""
        self.keep, self.kept_events = True, []

    async def kept(self) -> list[tuple[int, int]]:
        """The number of each event with the text `#<number>`, and when it came (ns, CLOCK_MONOTONIC)."""
        self.keep, found = False, self.kept_events
        self.kept_events = []
        numbers = []
        for now_ns, masked in found:
            text = orjson.loads(websocket.unmask(masked))["payload"]["data"].get("msg", "")
            if text.startswith("#"):
                numbers.append((int(text[1:]), now_ns))
        return numbers

    async def burst(self, players: list[str]) -> dict[str, Any]:
        """Send the 3 + 2P requests of one sync to all links at once, one write for each link."""
        self._asked, self.responses = Asked(), []
        cpu_s = time.process_time()
        made_s, writing_s = self._sync(players)
        await self._answered()
        return self._asked.report(self.responses) | {
            "cpu_s": time.process_time() - cpu_s - made_s,
            "writing_ms": 1e3 * writing_s,
        }

    def _sync(self, players: list[str]) -> tuple[float, float]:
        """Ask all links. Returns the CPU time of making the frames and the time of writing them (s)."""
        cpu_s = time.process_time()
        made = [(link, *sync_requests(players)) for link in self.links.values()]
        made_s, begun_s = time.process_time() - cpu_s, time.monotonic()
        for link, actions, frames in made:
            self._asked.add(actions)
            link.write(frames)
        return made_s, time.monotonic() - begun_s

    async def _answered(self) -> None:
        """Wait until all requests are answered or Takaro has given them up."""
        deadline_s = time.monotonic() + ANSWER_WITHIN_S + LATER_S
        while len(self.responses) < self._owed + len(self._asked) and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)

    async def give(self, count: int, seconds: float, player: str, seed: int = 0) -> dict[str, Any]:
        """Send `count` giveItem at random moments of `seconds`, to the links in turn."""
        chance = random.Random(seed)
        args = {"player": get_player(player), "item": "Apple", "amount": 1, "quality": ""}
        moments = sorted(chance.uniform(0, seconds) for _ in range(count))
        links = list(self.links.values())
        self._asked, self.responses = Asked(), []
        begun_s = time.monotonic()
        for number, moment in enumerate(moments):
            await asyncio.sleep(begun_s + moment - time.monotonic())
            request_id, frame = request("giveItem", args)
            self._asked.add({request_id: "giveItem"})
            links[number % len(links)].write(frame)
        await self._answered()
        return self._asked.report(self.responses)

    async def sync(self, period_s: float, players: list[str]) -> None:
        """Start a burst every `period_s`, until the process ends."""

        async def forever() -> None:
            while True:
                await asyncio.sleep(period_s)
                await self.burst(players)

        self._syncing = asyncio.create_task(forever())

    async def take(self, players: list[str], sync_s: float) -> None:
        """From now on ask for the position of each event's player, and sync each `sync_s`, until `taken`.

        The first sync comes after a quarter of that time.
        """
        self._asked, self.responses, self.asks = Asked(), [], True

        async def forever() -> None:
            await asyncio.sleep(FIRST_SYNC * sync_s)
            while True:
                self._sync(players)
                await asyncio.sleep(sync_s)

        self._syncing = asyncio.create_task(forever())

    def event_came(self, link: Link, masked: bytes) -> None:
        """A worker of Takaro takes the event a moment later, and asks for the position of its player."""
        player = orjson.loads(websocket.unmask(masked))["payload"]["data"].get("player")
        if player:
            asyncio.get_running_loop().call_later(WORKER_S, self._ask_position, link, player["gameId"])

    def _ask_position(self, link: Link, game_id: str) -> None:
        request_id, frame = request("getPlayerLocation", get_player(game_id))
        self._asked.add({request_id: FOR_EVENT})
        link.write(frame)

    async def taken_so_far(self) -> dict[str, Any]:
        """The report of `take` until now. What was asked before is in no later report."""
        report = self._asked.report(self.responses)
        self._asked, self.responses = Asked(), []
        self._owed = report["asked"] - len(report["took_s"])
        return report

    async def taken(self) -> dict[str, Any]:
        """End `take`. Returns the report."""
        assert self._syncing
        self._syncing.cancel()
        await self._answered()
        self.asks = False
        return self._asked.report(self.responses)

    def commands(self) -> Commands:
        names = (
            "listen",
            "linked",
            "count",
            "keep_events",
            "kept",
            "burst",
            "give",
            "sync",
            "take",
            "taken_so_far",
            "taken",
        )
        return {name: getattr(self, name) for name in names}


if __name__ == "__main__":
    serve(lambda: Sink().commands())
