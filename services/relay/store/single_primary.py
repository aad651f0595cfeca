"""Where the primary is: one server, or the one that Sentinels name.

redis-py's `Sentinel` was tried and is not used. Its `discover_master` asks one Sentinel after the other and
believes the first that answers: one that was cut off together with the old primary was believed against two
others. Here the majority counts. Two silent Sentinels of three took it 1.02 s, half of the time of a call;
here all are asked at the same time.
"""

import asyncio
from collections import Counter

from services.relay.store.connection import Connection, dial, dial_primary
from services.relay.store.durability import ServerFacts
from services.relay.store.refusals import ConnectionLost, RedisRefusal, Unreachable
from services.relay.store.url import Endpoint, RedisUrl, StoreKind

SENTINEL_WITHIN_S = 0.5


class SinglePrimary:
    """One server. Behind a name or a virtual address it may be another one after each reconnect.

    The base of Sentinels; Cluster has the same methods. A place is an address, or stands for "whoever is the
    primary".
    """

    kind = StoreKind.ALONE

    def __init__(self, url: RedisUrl) -> None:
        self._url = url

    def place_of(self, slot: int) -> Endpoint:
        """The place of the slot's primary, as far as it is known."""
        return self._url.endpoints[0]

    def places(self) -> dict[Endpoint, int]:
        """The places of all primaries, each with a slot that it serves."""
        return {self.place_of(0): 0}

    async def dial(self, place: Endpoint) -> tuple[Connection, ServerFacts]:
        """A connection to the primary there. Raises Unreachable."""
        return await dial_primary(place, self._url.login, self._url.db, self._url.tls)

    async def dial_any(self) -> Connection:
        """A connection on which every hint arrives. Raises Unreachable."""
        connection, _ = await self.dial(self.place_of(0))
        return connection

    async def dial_named(self, node: str, asked: Endpoint) -> Connection:
        """A connection to a node as a refusal of the server at `asked` names it. Raises Unreachable."""
        raise Unreachable("it is part of a cluster: write redis+cluster:// into redis.url")

    def moved(self, slot: int, node: str, asked: Endpoint) -> None:
        """The server at `asked` says that `node` serves the slot now."""
        # A cluster behind redis://: the call is sent again until its time is up, and fails with the reason.

    async def learn(self) -> None:
        """Finds out anew where the primaries are, if it can."""


class Sentinels(SinglePrimary):
    """The server that the Sentinels call the primary, asked at every connect, if it says so itself."""

    kind = StoreKind.SENTINEL

    def place_of(self, slot: int) -> Endpoint:
        return Endpoint()

    async def dial(self, place: Endpoint) -> tuple[Connection, ServerFacts]:
        return await super().dial(await self._primary())

    async def _primary(self) -> Endpoint:
        """The server that most of the answering Sentinels name: one that was cut off names an old primary."""
        answers = await asyncio.gather(
            *(self._ask(sentinel) for sentinel in self._url.endpoints), return_exceptions=True
        )
        named = Counter(answer for answer in answers if isinstance(answer, Endpoint))
        if not named:
            raise Unreachable("; ".join(str(answer) or type(answer).__name__ for answer in answers))
        return named.most_common(1)[0][0]

    async def _ask(self, sentinel: Endpoint) -> Endpoint:
        async with asyncio.timeout(SENTINEL_WITHIN_S):
            connection = await dial(sentinel, self._url.sentinel_login, tls=self._url.tls)
            try:
                [reply] = await connection.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.service))
            except ConnectionLost as error:
                raise Unreachable(f"Sentinel {sentinel}: {error}") from error
            finally:
                connection.close()
        if isinstance(reply, RedisRefusal):
            raise Unreachable(f"Sentinel {sentinel}: {reply}", reply)
        if reply is None:
            raise Unreachable(f"Sentinel {sentinel} knows no service of the name in redis.url")
        return Endpoint(reply[0].decode(), int(reply[1]))
