"""A simulated Takaro to test against: serves the connector, shows what arrived, asks, and misbehaves."""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, serve

from services.sim.takaro.connector import Connector
from services.sim.takaro.records import Accepted, Answer, SimLink
from services.sim.takaro.requests import get_player

WS_PING_S = 30.0
MAX_FRAME_BYTES = 100 * 1024 * 1024


class TakaroSim(Connector):
    """`async with TakaroSim(registration_tokens={"…"}) as takaro:` serves at `takaro.url`.

    `ask_location`: ask getPlayerLocation before each event with a player, and lose the event when
    that fails. `sync_s`: the period of the sync burst for all servers at once (30 s in reality),
    None for only on demand. `quiet_s`: how long without an event until the emitter is re-created.
    """

    def __init__(
        self,
        *,
        registration_tokens: Iterable[str],
        host: str = "127.0.0.1",
        port: int = 0,
        ask_location: bool = True,
        sync_s: float | None = None,
        quiet_s: float = 60.0,
        request_timeout_s: float = 10.0,
        seed: int = 0,
        on_line: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(
            registration_tokens=registration_tokens,
            ask_location=ask_location,
            quiet_s=quiet_s,
            request_timeout_s=request_timeout_s,
            seed=seed,
            on_line=on_line,
        )
        self._host, self._port = host, port
        self._sync_s = sync_s
        self._server: Server | None = None

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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://{self._host}:{self._port}/"

    # What happened

    def events(self, identity_token: str) -> list[Accepted]:
        """Accepted events in the order of receipt, without those that Takaro lost afterwards."""
        server = self.servers.get(identity_token)
        return list(server.events) if server else []

    def identifies(self, identity_token: str) -> list[float]:
        """When each successful identify happened, on the loop's clock in seconds."""
        server = self.servers.get(identity_token)
        return list(server.identifies) if server else []

    def is_connected(self, identity_token: str) -> bool:
        """Some socket is open and bound to this identity."""
        server = self.servers.get(identity_token)
        return server is not None and any(link.server is server for link in self.links)

    def sockets(self, identity_token: str) -> list[SimLink]:
        """The open sockets of this identity, oldest first."""
        return sorted(self._links_of(identity_token), key=lambda link: link.number)

    def asked_socket(self, identity_token: str) -> int:
        """The number of the socket that identified last: requests go to it, even after it closed. 0: none."""
        server = self.servers.get(identity_token)
        return server.link.number if server and server.link else 0

    async def wait_for(self, predicate: Callable[[], object], timeout_s: float = 10.0) -> None:
        """Until `predicate()` is true, looked at after every change; raises TimeoutError."""
        await self._changes.wait_for(predicate, timeout_s)

    # What Takaro does

    async def burst(self, identity_token: str, game_ids: Iterable[str] | None = None) -> list[Answer]:
        """The 3 + 2P requests of one sync, all at once, for `game_ids` or whoever is online."""
        server = self.servers[identity_token]
        players = list(server.online) if game_ids is None else list(game_ids)
        asked: list[tuple[str, Any]] = [
            ("testReachability", None),
            ("getPlayers", None),
            ("getPlayers", None),
        ]
        for action in ("getPlayerInventory", "getPlayerLocation"):
            asked += [(action, get_player(game_id)) for game_id in players]
        return await asyncio.gather(*(self.request(identity_token, action, args) for action, args in asked))

    async def _sync(self, period_s: float) -> None:
        while True:
            await asyncio.sleep(period_s)
            await asyncio.gather(*(self.burst(token) for token in list(self.servers)))

    # Misbehaviour, beyond what `faults` holds

    def drop_connections(self, identity_token: str | None = None) -> None:
        """Tear sockets without a close frame (1006)."""
        for link in self._links_of(identity_token):
            link.connection.transport.abort()

    def forget(self, identity_token: str) -> None:
        """Every event of this server is an internal error until it identifies again."""
        self.servers[identity_token].known = False

    async def send_error_frame(self, text: str, identity_token: str | None = None) -> None:
        for link in self._links_of(identity_token):
            await self._send(link, "error", {"message": text})

    def _links_of(self, identity_token: str | None) -> list[SimLink]:
        if identity_token is None:
            return list(self.links)
        return [link for link in self.links if link.server and link.server.identity_token == identity_token]
