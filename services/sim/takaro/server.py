"""A simulated Takaro: it listens, and asks all that the real one asks."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self

from websockets.asyncio.server import Server, serve

from services.sim.takaro.connector import Connector
from services.sim.takaro.requests import get_player
from services.sim.takaro.socket import Answer

WS_PING_S = 30.0
MAX_FRAME_BYTES = 100 * 1024 * 1024


class TakaroSim(Connector):
    """`async with TakaroSim(registration_tokens={"…"}) as takaro:` serves at `takaro.url`.

    `ask_location`: ask getPlayerLocation before each event with a player, and lose the event when
    that fails. `sync_s`: how often to ask every server for everything; the real Takaro does so each 30 s.
    """

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
        super().__init__(registration_tokens, ask_location, on_line)
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

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://{self._host}:{self._port}/"

    def is_connected(self, identity_token: str) -> bool:
        """Some open socket is bound to this identity."""
        server = self.servers.get(identity_token)
        return server is not None and any(socket.server is server for socket in self.open_sockets)

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
