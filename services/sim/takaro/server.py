"""A simulated Takaro: it greets, takes identifies and events, and asks all that the real one asks."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Self

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from services.sim.takaro.requests import encode_args, get_player
from services.sim.takaro.socket import Accepted, Answer, GameServer, SimSocket

WS_PING_S = 30.0
MAX_FRAME_BYTES = 100 * 1024 * 1024

NAME_TAKEN = {"name": "AxiosError", "message": "Request failed with status code 409", "status": 409}


class TornSocket(Exception):
    """Tear this socket without a close frame."""


class TakaroSim:
    """`async with TakaroSim(registration_tokens={"…"}) as takaro:` serves at `takaro.url`.

    `ask_location`: ask getPlayerLocation before each event with a player, and lose the event when
    that fails. `sync_s`: how often to ask every server for everything; the real Takaro does so each 30 s.
    """

    socket_type: type[SimSocket] = SimSocket
    server_type: type[GameServer] = GameServer

    def __init__(
        self,
        *,
        registration_tokens: Iterable[str],
        host: str = "127.0.0.1",
        port: int = 0,
        ask_location: bool = True,
        sync_s: float | None = None,
        on_line: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.registration_tokens = set(registration_tokens)
        self.ask_location = ask_location
        self.request_timeout_s = 10.0
        self.servers: dict[str, GameServer] = {}
        self.open_sockets: set[SimSocket] = set()
        self.connections = 0
        self.stray_frames = 0  # not JSON, or an event before an identify
        self._host, self._port = host, port
        self._sync_s = sync_s
        self._on_line = on_line
        self._server: Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self.serve,
            self._host,
            self._port,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            ping_interval=WS_PING_S,
            ping_timeout=WS_PING_S,
            close_timeout=1.0,
        )
        self._port = self._server.sockets[0].getsockname()[1]
        if self._sync_s is not None:
            self._spawn(self._sync(self._sync_s))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"ws://{host}:{self._port}/"

    def is_connected(self, identity_token: str) -> bool:
        """Some open socket is bound to this identity."""
        server = self.servers.get(identity_token)
        return server is not None and any(socket.server is server for socket in self.open_sockets)

    # One socket

    async def serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        socket = self.socket_type(connection, self.connections)
        self.open_sockets.add(socket)
        try:
            await socket.send("connected", {"clientId": f"client-{uuid.uuid4()}"})
            async for frame in connection:
                await self._take(socket, frame)
        except ConnectionClosed:
            pass  # sockets often end without a close frame
        except TornSocket:
            socket.tear()
        finally:
            self._closed(socket)

    def _closed(self, socket: SimSocket) -> None:
        self.open_sockets.discard(socket)
        self._changed()

    async def _take(self, socket: SimSocket, frame: str | bytes) -> None:
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError:
            self.stray_frames += 1  # no error frame, no reply
            return
        if not isinstance(message, dict):
            return
        socket.take_answer(message)
        match message.get("type"):
            case "ping":
                await socket.pong()
            case "identify":
                await self._identify(socket, message.get("payload"))
            case "gameEvent":
                self._take_event(socket, message)
        self._changed()

    async def _identify(self, socket: SimSocket, payload: Any) -> None:
        error = self._refuse_identify(payload)
        if error is None:
            await self._accept_identify(socket, payload)
        else:
            await socket.send("identifyResponse", {"error": error})

    def _refuse_identify(self, payload: Any) -> dict[str, Any] | None:
        """The error object with which this identify fails; None for success."""
        match payload:
            case {"identityToken": str(identity), "registrationToken": str(token)} if (
                token in self.registration_tokens
            ):
                names = [server.name for server in self.servers.values()]
                is_taken = identity not in self.servers and payload.get("name", identity) in names
                return NAME_TAKEN if is_taken else None
        return {"name": "BadRequestError", "message": "Invalid registrationToken provided", "http": 400}

    async def _accept_identify(self, socket: SimSocket, payload: dict[str, Any]) -> None:
        token = payload["identityToken"]
        server = self.servers.get(token)
        if server is None:
            server = self.servers[token] = self.server_type(token, str(payload.get("name", token)))
        self._bind(socket, server)
        await socket.send("identifyResponse", {"gameServerId": server.id})

    def _bind(self, socket: SimSocket, server: GameServer) -> None:
        socket.server, server.socket = server, socket
        self._on_line(f"{server.name}: identified")

    # Events

    def _take_event(self, socket: SimSocket, frame: dict[str, Any]) -> None:
        if socket.server is None:
            self.stray_frames += 1
            raise TornSocket
        match frame.get("payload"):
            case {"type": str(kind), "data": dict(data)}:
                event = Accepted(asyncio.get_running_loop().time(), kind, data, socket.number)
                self._accept_event(socket.server, event)

    def _accept_event(self, server: GameServer, event: Accepted) -> None:
        self._on_line(f"{server.name}: {event.type} {orjson.dumps(event.data).decode()}")
        match event.data:
            case {"player": {"gameId": str(game_id)}} if self.ask_location:
                self._spawn(self._look_up_location(server, event, game_id))

    async def _look_up_location(self, server: GameServer, event: Accepted, game_id: str) -> Answer:
        """Takaro asks for the position of an event's player."""
        return await self.request(server.identity_token, "getPlayerLocation", get_player(game_id))

    # Requests

    async def request(self, identity_token: str, action: str, args: Any = None) -> Answer:
        """Ask the socket of this identity that identified last. What the other side does raises nothing."""
        server = self.servers.get(identity_token)
        if server is None or server.socket is None:
            return Answer(action, None, None, "Game server is not connected", 0.0)
        socket = server.socket
        started_s = asyncio.get_running_loop().time()
        raw, value, error = None, None, None
        try:
            request_id, raw = await socket.ask(action, encode_args(args), self.request_timeout_s)
            value, error = await self._conclude(socket, request_id, action, raw)
        except TimeoutError:
            error = f"Request timed out after {self.request_timeout_s * 1000:.0f}ms : {action}"
        took_s = asyncio.get_running_loop().time() - started_s
        self._learn(server, action, value, error)
        self._on_line(f"{server.name}: {action} answered in {took_s * 1000:.0f} ms: {error or value}")
        return Answer(action, raw, value, error, took_s)

    async def _conclude(
        self, socket: SimSocket, request_id: str, action: str, payload: Any
    ) -> tuple[Any, str | None]:
        """What Takaro makes of the payload of an answer: (value, None) or (None, error text)."""
        error = error_in(payload)
        return (None if error else payload), error

    def _learn(self, server: GameServer, action: str, value: Any, error: str | None) -> None:
        if action == "getPlayers" and isinstance(value, list):
            known = [player for player in value if isinstance(player, dict) and "gameId" in player]
            server.online = {player["gameId"]: player.get("name", "") for player in known}
        self._changed()

    async def burst(self, identity_token: str) -> list[Answer]:
        """The requests of one sync, all at once: 3, and 2 for each player who is online."""
        players = self.servers[identity_token].online
        asked: list[tuple[str, Any]]
        asked = [("testReachability", None), ("getPlayers", None), ("getPlayers", None)]
        for action in ("getPlayerInventory", "getPlayerLocation"):
            asked += [(action, get_player(game_id)) for game_id in players]
        return await asyncio.gather(*(self.request(identity_token, action, args) for action, args in asked))

    async def _sync(self, period_s: float) -> None:
        while True:
            await asyncio.sleep(period_s)
            await asyncio.gather(*(self.burst(token) for token in list(self.servers)))

    def _changed(self) -> None:
        """For tests, which wait."""

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def error_in(payload: Any) -> str | None:
    """Why the payload of an answer is an error: it has a non-empty `error` key (protocol.md T13)."""
    is_error = isinstance(payload, dict) and payload.get("error")
    return f"Error from server: {payload['error']}" if is_error else None
