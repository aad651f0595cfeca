"""Where the primary is, if there is one server."""

from services.relay.store.connection import Connection, dial_primary
from services.relay.store.durability import ServerFacts
from services.relay.store.refusals import Unreachable
from services.relay.store.url import Endpoint, RedisUrl, StoreKind


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

    def close(self) -> None:
        """Ends what runs beside the calls."""
