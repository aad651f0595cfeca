"""Where the primaries of a cluster are: which address serves which slots.

`key_slot` is redis-py's. Its `NodesManager` was tried for the map of slots: it believes the first member that
answers, and one that was cut off has the old map (45 of 100 tries). Here the newest epoch counts. While slots
have no primary it keeps no map at all. Each `initialize()` held the event loop for 28 ms.
"""

import asyncio
import random
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from services.relay.store.connection import Connection, ask_at, dial, dial_primary
from services.relay.store.durability import ServerFacts
from services.relay.store.refusals import Unreachable
from services.relay.store.sentinels import SinglePrimary
from services.relay.store.url import Endpoint, RedisUrl, StoreKind

SLOTS = 16_384
NOWHERE = Endpoint()
ASK_AT_MOST = 8
ASK_WITHIN_S = 0.7


@lru_cache(maxsize=65_536)
def slot_of(key: str) -> int:
    """The slot of a key; a hash tag decides."""
    from redis.crc import key_slot  # only for a cluster: it loads all of redis-py, 7 MiB

    return key_slot(key.encode())


class Cluster(SinglePrimary):
    """The map of slots. `changed` is called after each change of it."""

    kind = StoreKind.CLUSTER

    def __init__(self, url: RedisUrl, changed: Callable[[], None]) -> None:
        super().__init__(url)
        self._changed = changed
        self._slots: list[Endpoint] = [NOWHERE] * SLOTS
        self._members: set[Endpoint] = set()
        self._learning: asyncio.Task[None] | None = None
        self._unlearned = Unreachable("none was asked yet")  # why no member could say it
        slot_of("")  # loads redis-py before calls wait for it

    def place_of(self, slot: int) -> Endpoint:
        return self._slots[slot]

    def places(self) -> dict[Endpoint, int]:
        found = {place: slot for slot, place in enumerate(self._slots) if place != NOWHERE}
        return found or {NOWHERE: 0}

    async def dial(self, place: Endpoint) -> tuple[Connection, ServerFacts]:
        if place == NOWHERE:
            asked = ", ".join(map(str, self._url.endpoints))
            why = self._unlearned
            raise Unreachable(
                f"no server of the cluster says who serves what, of {asked}: {why}", why.refusal
            )
        return await dial_primary(place, self._url.login, 0, self._url.tls)

    async def dial_any(self) -> Connection:
        """A connection to any server: the bus of a cluster carries each PUBLISH to all of them. Sharded hints
        would need a subscription to every shard, and a new one whenever a slot moves."""
        if self.places() == {NOWHERE: 0}:
            await self.learn()
        connection, _ = await self.dial(random.choice(list(self.places())))
        return connection

    async def dial_named(self, node: str, asked: Endpoint) -> Connection:
        return await dial(_named(node, asked), self._url.login, 0, self._url.tls)

    def moved(self, slot: int, node: str, asked: Endpoint) -> None:
        self._slots[slot] = _named(node, asked)
        self._changed()

    async def learn(self) -> None:
        """Learns the map of slots anew. All callers wait for one question at a time."""
        if self._learning is None or self._learning.done():
            self._learning = asyncio.create_task(self._learn())
        await asyncio.wait([self._learning])

    def close(self) -> None:
        if self._learning:
            self._learning.cancel()

    async def _learn(self) -> None:
        """Takes the map of the member with the newest epoch: one that was cut off has an old map."""
        asked = random.sample(sorted(self._members, key=str), min(ASK_AT_MOST, len(self._members)))
        answers = await asyncio.gather(
            *(self._ask(member) for member in {*asked, *self._url.endpoints}), return_exceptions=True
        )
        maps = [answer for answer in answers if isinstance(answer, tuple)]
        if not maps:
            self._unlearned = next((one for one in answers if isinstance(one, Unreachable)), self._unlearned)
            return
        _, asked_there, ranges = max(maps, key=lambda answer: answer[0])
        slots, members = [NOWHERE] * SLOTS, set()
        for first, last, *servers in ranges:
            endpoints = [_given(host, port, asked_there) for host, port, *_ in servers]
            slots[first : last + 1] = [endpoints[0]] * (last + 1 - first)
            members.update(endpoints)
        self._slots, self._members = slots, members
        self._changed()

    async def _ask(self, member: Endpoint) -> tuple[tuple[bool, int], Endpoint, list[Any]]:
        login, tls = self._url.login, self._url.tls
        commands = ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")
        info, ranges = await ask_at(member, login, tls, ASK_WITHIN_S, *commands)
        facts = dict(line.partition(":")[::2] for line in info.decode().splitlines())
        age = facts.get("cluster_state") == "ok", int(facts.get("cluster_current_epoch", 0))
        return age, member, ranges


def _named(node: str, asked: Endpoint) -> Endpoint:
    """The address in a MOVED or ASK reply. Without a host, it is the host of the server that was asked."""
    host, _, port = node.rpartition(":")
    return Endpoint(host or asked.host, int(port))


def _given(host: bytes | None, port: int, asked: Endpoint) -> Endpoint:
    name = (host or b"").decode()
    return Endpoint(asked.host if name in ("", "?") else name, port)
