"""What a pipeline has to know of the servers behind it: one, a set behind Sentinels, or a Cluster."""

from typing import Protocol

from services.relay.store.connection import Connection
from services.relay.store.durability import ServerFacts
from services.relay.store.url import Endpoint, StoreKind


class Topology(Protocol):
    """Where primaries are. A place is an address, or stands for "whoever is the primary"."""

    kind: StoreKind

    def place_of(self, slot: int) -> Endpoint:
        """Of the slot's primary, as far as it is known."""
        ...

    def places(self) -> dict[Endpoint, int]:
        """Of all primaries, each with a slot that it serves."""
        ...

    async def dial(self, place: Endpoint) -> tuple[Connection, ServerFacts]:
        """A connection to the primary there. Raises Unreachable."""
        ...

    async def dial_any(self) -> Connection:
        """A connection on which every hint is heard. Raises Unreachable."""
        ...

    async def dial_named(self, node: str, asked: Endpoint) -> Connection:
        """A connection to a node as a refusal names it. Raises Unreachable."""
        ...

    def moved(self, slot: int, node: str, asked: Endpoint) -> None:
        """The server at `asked` says that `node` serves the slot now."""

    async def learn(self) -> None:
        """Finds out anew who is where, if it can."""
