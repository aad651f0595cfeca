"""A subscription, and the end of one on which nothing comes through any more."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from services.relay.service.clocks import until_shared_s
from services.relay.store.connection import Argument, Connection
from services.relay.store.refusals import RedisRefusal

PROBE_EVERY_S = 2.0
PROBE_WITHIN_S = 1.5


class Subscription:
    """Subscribes on a connection, and closes it when the server stands still.

    `probe` asks for something that comes by this connection. It is called when nothing has come for half of
    `every_s` or longer. If nothing comes `within_s` after that, the subscription is `silent` and closed. One
    timer checks when bytes last came: a time-out for each message costs more than to read it.
    """

    def __init__(
        self,
        connection: Connection,
        channels: tuple[Argument, ...],
        probe: Callable[[], object],
        every_s: float = PROBE_EVERY_S,
        within_s: float = PROBE_WITHIN_S,
    ) -> None:
        self.silent = False
        self._connection = connection
        self._probe = probe
        self._least_s = every_s / 2
        self._within_s = within_s
        self._probed_s: float | None = None  # when a probe was sent whose answer was not checked yet
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(until_shared_s(self._least_s), self._check)
        connection.say(("SUBSCRIBE", *channels))

    async def message(self) -> list[Any]:
        """The next message, or the reply to SUBSCRIBE. Raises RedisRefusal, ConnectionLost."""
        reply = await self._connection.message()
        if isinstance(reply, RedisRefusal):
            raise reply
        return reply  # type: ignore[no-any-return]

    def close(self) -> None:
        self._timer.cancel()
        self._connection.close()

    def _check(self) -> None:
        now_s, heard_s = time.monotonic(), self._connection.heard_s
        if self._probed_s is not None and heard_s < self._probed_s:
            self.silent = True
            self._connection.close()
            return
        if self._probed_s is None and now_s - heard_s >= self._least_s:
            self._probed_s, wait_s = now_s, self._within_s
            self._probe()
        else:  # at a moment that other subscriptions share
            self._probed_s = None
            wait_s = until_shared_s(self._least_s, at_least_s=max(0.0, heard_s + self._least_s - now_s))
        self._timer = self._loop.call_later(wait_s, self._check)
