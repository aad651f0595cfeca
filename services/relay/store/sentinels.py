"""Where the primary is: the one server, or the server that Sentinels name, until one begins to replace it.

Sentinels tell of a new primary about a second after they have made it one. Until then the old one accepts
writes, and a replica that still follows it confirms them: all of that is lost (protocol.md R2). So the relay
listens to every Sentinel of redis.url, and leaves the primary as soon as one of them chooses its successor.

redis-py's `Sentinel` is not used: it asks one Sentinel after the other (two silent ones took it 1.02 s, half
of the time of a call), and believes the first that answers, even one that was cut off together with the old
primary. Here all are asked at the same time, and the majority counts.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from services.relay.store.connection import Connection, ask_at, dial, dial_primary
from services.relay.store.durability import ServerFacts
from services.relay.store.refusals import ConnectionLost, RedisRefusal, Unreachable
from services.relay.store.subscription import Subscription
from services.relay.store.url import Endpoint, RedisUrl, StoreKind

SENTINEL_WITHIN_S = 0.5

LEFT_FOR_S = 10.0  # after a failover has begun the old primary is not used, though most Sentinels name it

LISTEN_AGAIN_S = 1.0
PING_EVERY_S = 5.0
PONG_WITHIN_S = 5.0

_BEGINS = b"+failover-state-select-slave"
"""The Sentinel that leads a failover publishes it 0.1 to 0.2 s before it promotes a replica."""

_ENDS = (b"-failover-abort-no-good-slave", b"-failover-abort-slave-timeout")  # the old primary stays

logger = logging.getLogger(__name__)


class SinglePrimary:
    """One server. Behind a name or a virtual address it may be another one after each reconnect. A place is
    an address, or stands for "the present primary". The base of Sentinels and Cluster."""

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


def failover_in(message: list[Any], service: str) -> tuple[Endpoint, bool] | None:
    """The primary that a Sentinel tells of, and whether it is being replaced (True) or stays (False). None:
    the message tells of something else. A message is `kind, channel, "master <service> <host> <port>"`."""
    if message[0] != b"message":
        return None
    _, channel, body = message
    kind, name, host, port, *_ = body.decode().split(" ")
    if kind != "master" or name != service:
        return None
    return Endpoint(host, int(port)), channel == _BEGINS


class Sentinels(SinglePrimary):
    """The server that most Sentinels call the primary, asked at every connect, if it says so itself. `leave`
    is called when that server is being replaced: its connections must be closed at once."""

    kind = StoreKind.SENTINEL

    def __init__(
        self, url: RedisUrl, leave: Callable[[], object], listen_again_s: float = LISTEN_AGAIN_S
    ) -> None:
        super().__init__(url)
        self._leave = leave
        self._listen_again_s = listen_again_s
        self._left: dict[Endpoint, float] = {}  # until when, on time.monotonic()
        self._listening: list[asyncio.Task[None]] = []

    def place_of(self, slot: int) -> Endpoint:
        return Endpoint()

    async def dial(self, place: Endpoint) -> tuple[Connection, ServerFacts]:
        if not self._listening:
            self._listening = [asyncio.create_task(self._listen(one)) for one in self._url.endpoints]
        primary = await self._primary()
        connection, facts = await super().dial(primary)
        if time.monotonic() < self._left.get(primary, 0.0):
            connection.close()
            raise Unreachable(f"the Sentinels replace {primary} as the primary")
        return connection, facts

    def close(self) -> None:
        for task in self._listening:
            task.cancel()

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
        login, tls = self._url.sentinel_login, self._url.tls
        question = "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.service
        [reply] = await ask_at(sentinel, login, tls, SENTINEL_WITHIN_S, question)
        if reply is None:
            raise Unreachable(f"Sentinel {sentinel} knows no service of the name in redis.url")
        return Endpoint(reply[0].decode(), int(reply[1]))

    async def _listen(self, sentinel: Endpoint) -> None:
        """Listens to one Sentinel, for as long as this service runs."""
        refusal = ""
        while True:
            try:
                await self._listen_once(sentinel)
            except RedisRefusal as error:
                if str(error) != refusal:
                    refusal = str(error)
                    logger.warning(
                        "Sentinel %s does not let the relay subscribe (%s): a failover by hand can lose what"
                        " is accepted meanwhile. Fix: give its user +subscribe +ping allchannels",
                        sentinel,
                        error,
                    )
            except (ConnectionLost, Unreachable):
                pass  # a failover needs most of the Sentinels, and the others tell of it
            await asyncio.sleep(self._listen_again_s)

    async def _listen_once(self, sentinel: Endpoint) -> None:
        """Raises RedisRefusal, ConnectionLost, Unreachable."""
        connection = await dial(sentinel, self._url.sentinel_login, tls=self._url.tls)
        ping = partial(connection.say, ("PING",))
        subscribed = Subscription(connection, (_BEGINS, *_ENDS), ping, PING_EVERY_S, PONG_WITHIN_S)
        try:
            while True:
                if news := failover_in(await subscribed.message(), self._url.service):
                    primary, replaced = news
                    self._left.pop(primary, None)
                    if replaced:  # the one that was left before may be the next
                        self._left = {primary: time.monotonic() + LEFT_FOR_S}
                        self._leave()
        finally:
            subscribed.close()
