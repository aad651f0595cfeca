"""The socket side of Takaro: greets, identifies, takes events, asks; a socket serves one server."""

import asyncio
import random
import uuid
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from services.sim.takaro.faults import SimFaults
from services.sim.takaro.intake import SimIntake
from services.sim.takaro.records import Accepted, Answer, GameServer, LostEvent, SimLink, SimRefusal
from services.sim.takaro.requests import encode_args, get_player
from services.sim.takaro.rules import bad_answer, conclude, identify_error, server_name
from services.sim.waiting import Watchers

ERROR_DELAY_TURNS = 3  # loop turns: enough for one pong to overtake, see `_pong`


class _Kill(Exception):
    """Tear this socket without a close frame: the other side sees 1006."""


class Connector:
    """All sockets and what came over them. `serve` is the handler of one socket."""

    def __init__(
        self,
        *,
        registration_tokens: Iterable[str],
        ask_location: bool = True,
        quiet_s: float = 60.0,
        request_timeout_s: float = 10.0,
        seed: int = 0,
        on_line: Callable[[str], object] | None = None,
    ) -> None:
        self.registration_tokens = set(registration_tokens)
        self.ask_location = ask_location
        self.faults = SimFaults()
        self.servers: dict[str, GameServer] = {}
        self.links: set[SimLink] = set()
        self.refused: list[SimRefusal] = []
        self.lost: list[LostEvent] = []
        self.connections = 0
        self.identifying = 0  # identifies that are delayed right now
        self.vanished = 0  # frames that were not JSON
        self.killed = 0  # sockets torn because of an event before an identify
        self._faults_of: dict[str, SimFaults] = {}
        self._intake = SimIntake(quiet_s)
        self._request_timeout_s = request_timeout_s
        self._random = random.Random(seed)
        self._on_line = on_line
        self._tasks: set[asyncio.Task[None]] = set()
        self._changes = Watchers()

    def faults_of(self, identity_token: str) -> SimFaults:
        """The faults of one identity; `faults` holds those of all. Either one is enough."""
        return self._faults_of.setdefault(identity_token, SimFaults())

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # One socket

    async def serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        link = SimLink(connection, self.connections)
        if self.faults.kill_early:
            connection.transport.abort()
            return
        self.links.add(link)
        try:
            await self._send(link, "connected", {"clientId": f"client-{uuid.uuid4()}"})
            async for frame in connection:
                await self.faults.reading.wait()
                if link.server:
                    await link.server.faults.reading.wait()
                await self._take(link, frame)
        except ConnectionClosed:
            pass  # 1006 is an ordinary end here
        except _Kill:
            connection.transport.abort()
        finally:
            self.links.discard(link)
            self._changes.notify()

    async def _take(self, link: SimLink, frame: str | bytes) -> None:
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError:
            self.vanished += 1  # no error frame, no reply
            return
        if not isinstance(message, dict):
            return
        # The type of an answer is ignored: its requestId is what counts.
        request_id = message.get("requestId")
        waiting = link.pending.pop(request_id, None) if isinstance(request_id, str) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(message.get("payload"))
        match message.get("type"):
            case "ping":
                await self._pong(link)
            case "identify":
                await self._identify(link, message.get("payload"))
            case "gameEvent":
                self._take_event(link, message)
        self._changes.notify()

    async def _pong(self, link: SimLink) -> None:
        """A pong can overtake the errors of events before its ping, but only once: errors that were on
        their way at the ping before this one go first. Two pings in one packet prove nothing."""
        if not link.pong_on_its_way:
            if link.errors_before_ping and not self.faults.pongs_overtake:
                await asyncio.wait(link.errors_before_ping)
            link.errors_before_ping = set(link.errors)
        link.pong_on_its_way = True
        asyncio.get_running_loop().call_soon(setattr, link, "pong_on_its_way", False)
        await self._send(link, "pong", None)

    async def _identify(self, link: SimLink, payload: Any) -> None:
        error = self._refuse_identify(payload)
        if error is not None:
            await self._send(link, "identifyResponse", {"error": error})
            return
        identity_token = payload["identityToken"]
        faults = self.faults_of(identity_token)
        if faults.kill_early:
            raise _Kill
        if self.faults.silent or faults.silent:
            return
        if delay_s := self.faults.identify_delay_s + faults.identify_delay_s:
            self.identifying += 1
            await asyncio.sleep(delay_s)
            self.identifying -= 1
        server = self.servers.get(identity_token)
        if server is None:
            server = GameServer(identity_token, server_name(payload), faults)
            self.servers[identity_token] = server
        now = asyncio.get_running_loop().time()
        link.server, server.link, server.known = server, link, True
        server.last_event_at = now
        server.identifies.append(now)
        self.faults.identified()
        faults.identified()
        if self._on_line:
            self._on_line(f"{server.name}: identified")
        await self._send(link, "identifyResponse", {"gameServerId": server.id})

    def _refuse_identify(self, payload: Any) -> dict[str, Any] | None:
        """The error with which this identify fails, None for success."""
        names = {server.name for server in self.servers.values()}
        error = identify_error(payload, self.registration_tokens, self.servers.keys(), names)
        if error is None:
            error = self.faults.take_refusal()
        return self.faults_of(payload["identityToken"]).take_refusal() if error is None else error

    # Events

    def _take_event(self, link: SimLink, frame: dict[str, Any]) -> None:
        server = link.server
        if server is None:
            self.killed += 1
            raise _Kill
        now = asyncio.get_running_loop().time()
        text = self._intake.refuse(server, self.faults, frame.get("payload"), now)
        if text is not None:
            self.refused.append(SimRefusal(server.identity_token, text, frame))
            self._send_error_later(link, server, text)
            return
        event = Accepted(now, frame["payload"]["type"], frame["payload"]["data"], link.number)
        reason = self._intake.lose(server, event)
        if reason is not None:
            self.lost.append(LostEvent(server.identity_token, reason, event))
            return
        server.events.append(event)
        if self._on_line:
            self._on_line(f"{server.name}: {event.type} {orjson.dumps(event.data).decode()}")
        if self.ask_location and "player" in event.data:
            self._spawn(self._look_up_location(server, event))

    async def _look_up_location(self, server: GameServer, event: Accepted) -> None:
        game_id = event.data["player"]["gameId"]
        answer = await self.request(server.identity_token, "getPlayerLocation", get_player(game_id))
        if answer.error is not None:
            server.events = [other for other in server.events if other is not event]
            self.lost.append(LostEvent(server.identity_token, f"getPlayerLocation: {answer.error}", event))
            self._changes.notify()

    def _send_error_later(self, link: SimLink, server: GameServer, text: str) -> None:
        delay_s = self.faults.error_delay_s + server.faults.error_delay_s
        task = self._spawn(
            self._send_error(link, text, delay_s, self._random.randrange(ERROR_DELAY_TURNS + 1))
        )
        link.errors.add(task)
        task.add_done_callback(link.errors.discard)

    async def _send_error(self, link: SimLink, text: str, delay_s: float, turns: int) -> None:
        if delay_s:
            await asyncio.sleep(delay_s)
        for _ in range(turns):
            await asyncio.sleep(0)
        await self._send(link, "error", {"message": text})

    # Requests

    async def request(self, identity_token: str, action: str, args: Any = None) -> Answer:
        """Ask the newest socket of this identity. Never raises for what the other side did."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        server = self.servers.get(identity_token)
        if server is None or server.link is None:
            return Answer(action, None, None, "Game server is not connected", 0.0)
        raw, value, error = None, None, None
        try:
            raw = await self._ask(server.link, action, args)
            value, error = conclude(action, raw)
        except TimeoutError:
            error = f"Request timed out after {self._request_timeout_s * 1000:.0f}ms : {action}"
        answer = Answer(action, raw, value, error, loop.time() - started)
        self._learn(server, answer)
        if self._on_line:
            self._on_line(
                f"{server.name}: {action} answered in {answer.took_s * 1000:.0f} ms: {error or value}"
            )
        return answer

    async def _ask(self, link: SimLink, action: str, args: Any) -> Any:
        """The payload of the answer on the same socket. A socket that is gone goes unnoticed."""
        request_id = str(uuid.uuid4())
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        link.pending[request_id] = future
        link.requests += 1
        try:
            async with asyncio.timeout(self._request_timeout_s):
                await self._send(link, "request", {"action": action, "args": encode_args(args)}, request_id)
                payload = await future
        finally:
            link.pending.pop(request_id, None)
        if problem := bad_answer(action, payload):
            await self._send(link, "error", {"message": problem}, request_id)
        return payload

    def _learn(self, server: GameServer, answer: Answer) -> None:
        if answer.action == "testReachability":
            server.reachable = answer.error is None and answer.value["connectable"]
            if not server.reachable:
                server.online.clear()
        elif answer.action == "getPlayers" and answer.error is None:
            server.online = {player["gameId"]: player["name"] for player in answer.value}
        self._changes.notify()

    # Frames

    async def _send(self, link: SimLink, kind: str, payload: Any, request_id: str = "") -> None:
        """Every frame carries a requestId: random, but for a request and an error about its answer."""
        frame = {"type": kind, "payload": payload, "requestId": request_id or str(uuid.uuid4())}
        try:
            await link.connection.send(orjson.dumps(frame).decode())
        except ConnectionClosed:
            pass  # whoever waits for an answer learns it from the clock, as in reality

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
