"""Takaro's side of the load: takes events and answers pings cheaply, asks, and notes times."""

import asyncio
import random
import time
import uuid
from typing import Any, cast

import orjson

from bench import websocket
from bench.names import number_of
from bench.peer import Commands, serve
from services.sim.takaro.requests import encode_args, get_player

ANSWER_WITHIN_S = 10.0
"""Takaro ignores later answers (protocol.md T12)."""

LATER_S = 1.0
LINKED_LOOK_S = 0.05


def _said(kind: str, payload: Any = None, request_id: str = "") -> bytes:
    return orjson.dumps({"type": kind, "payload": payload, "requestId": request_id or str(uuid.uuid4())})


def request(action: str, args: Any) -> tuple[str, bytes]:
    """A request's id, and its frame."""
    request_id = str(uuid.uuid4())
    payload = {"action": action, "args": encode_args(args)}
    return request_id, websocket.frame(_said("request", payload, request_id))


CONNECTED = websocket.frame(_said("connected", {}))
PONG = websocket.frame(_said("pong"))
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
        return websocket.frame(_said("identifyResponse", {"gameServerId": f"server-{self.number}"}))


class Sink:
    """The commands of this process."""

    def __init__(self) -> None:
        self.links: dict[int, Link] = {}
        self.lost_links = 0
        self.events = 0
        self.keep = False
        self.kept_events: list[tuple[int, bytes]] = []
        self.responses: list[tuple[int, bytes]] = []
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
        frames: list[tuple[Link, dict[str, str], bytes]] = []
        asked: list[tuple[str, Any]] = [
            ("testReachability", None),
            ("getPlayers", None),
            ("getPlayers", None),
        ]
        for action in ("getPlayerInventory", "getPlayerLocation"):
            asked += [(action, get_player(game_id)) for game_id in players]
        for link in self.links.values():
            made = [(action, *request(action, args)) for action, args in asked]
            ids = {request_id: action for action, request_id, _ in made}
            frames.append((link, ids, b"".join(frame for _, _, frame in made)))
        sent_ns: dict[str, int] = {}
        actions: dict[str, str] = {}
        self.responses = []
        cpu_s, begun_ns = time.process_time(), time.monotonic_ns()
        for link, ids, blob in frames:
            actions |= ids
            sent_ns |= dict.fromkeys(ids, time.monotonic_ns())
            link.write(blob)
        written_ns = time.monotonic_ns()
        deadline_s = time.monotonic() + ANSWER_WITHIN_S + LATER_S
        while len(self.responses) < len(sent_ns) and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)
        cpu_s = time.process_time() - cpu_s
        return self._read(actions, sent_ns) | {
            "asked": len(sent_ns),
            "cpu_s": cpu_s,
            "writing_ms": (written_ns - begun_ns) / 1e6,
        }

    async def give(self, count: int, seconds: float, player: str, seed: int = 0) -> dict[str, Any]:
        """Send `count` giveItem at random moments of `seconds`, to the links in turn."""
        chance = random.Random(seed)
        args = {"player": get_player(player), "item": "Apple", "amount": 1, "quality": ""}
        moments = sorted(chance.uniform(0, seconds) for _ in range(count))
        links = list(self.links.values())
        sent_ns: dict[str, int] = {}
        self.responses = []
        begun_s = time.monotonic()
        for number, moment in enumerate(moments):
            await asyncio.sleep(begun_s + moment - time.monotonic())
            request_id, frame = request("giveItem", args)
            sent_ns[request_id] = time.monotonic_ns()
            links[number % len(links)].write(frame)
        deadline_s = time.monotonic() + ANSWER_WITHIN_S + LATER_S
        while len(self.responses) < count and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)
        return self._read(dict.fromkeys(sent_ns, "giveItem"), sent_ns) | {"asked": count}

    async def sync(self, period_s: float, players: list[str]) -> None:
        """Start a burst every `period_s`, until the process ends."""

        async def forever() -> None:
            while True:
                await asyncio.sleep(period_s)
                await self.burst(players)

        self._syncing = asyncio.create_task(forever())

    def _read(self, actions: dict[str, str], sent_ns: dict[str, int]) -> dict[str, Any]:
        """Latencies (s) of all answers, the number in time, and the errors by action and text."""
        took_s: list[float] = []
        errors: dict[str, int] = {}
        seen: set[str] = set()
        for now_ns, masked in self.responses:
            frame = orjson.loads(websocket.unmask(masked))
            request_id, payload = frame["requestId"], frame["payload"]
            if request_id in sent_ns and request_id not in seen:
                seen.add(request_id)
                took_s.append((now_ns - sent_ns[request_id]) / 1e9)
                if isinstance(payload, dict) and payload.get("error"):
                    text = f"{actions[request_id]}: {payload['error']}"
                    errors[text] = errors.get(text, 0) + 1
        in_time = sum(one <= ANSWER_WITHIN_S for one in took_s)
        return {"answered": in_time, "took_s": took_s, "errors": errors}

    def commands(self) -> Commands:
        names = ("listen", "linked", "count", "keep_events", "kept", "burst", "give", "sync")
        return {name: getattr(self, name) for name in names}


if __name__ == "__main__":
    serve(lambda: Sink().commands())
