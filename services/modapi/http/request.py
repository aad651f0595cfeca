"""One request of a mod while it is answered: its body, within limits, and whether its sender still waits."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope

from services.modapi.http.calls import ModCall
from services.modapi.http.rate_limits import Incoming
from services.modapi.served_instance import ServedInstance
from services.relay.service.http.arrivals import Arrival, Arrivals, CallerConnection

READ_ON_S = 0.02
"""Time for the loop to read that a mod hung up, on systems whose kernel does not say so."""


class BeyondLimit(Exception):
    """A request exceeds a limit of the settings. `limit` is its name, "" if the caller knows it."""

    def __init__(self, limit: str = "") -> None:
        super().__init__(limit)
        self.limit = limit


class TooLarge(BeyondLimit):
    """A body is beyond its limit."""


class BeyondPace(BeyondLimit):
    """An instance sends too much at once."""


class CutShort(Exception):
    """The mod hung up in the middle of its body, or while its poll was held."""


class StoodStill(Exception):
    """This process stood still, and the request waited unread for longer than a mod waits for its answer."""


@dataclass(slots=True)
class ModRequest:
    """One call of a mod while it is answered. `instance` is set as soon as it is known."""

    call: ModCall
    scope: Scope
    receive: Receive
    arrival: Arrival
    answered_within_s: float
    instance: ServedInstance | None = None

    async def still_waits(self, held_s: float = 0.0) -> None:
        """Call this right before a step that must not be done for a mod that has given up its request.

        Such a mod repeats the request, most likely to another modapi. Raises CutShort if the mod has hung up,
        and StoodStill if it probably has: this process stood still, and the request is older than a mod waits
        for one that is held for `held_s`.
        """
        arrival = self.arrival
        if arrival.after_stall():
            closed = arrival.is_closed()
            if closed is None:
                await asyncio.sleep(READ_ON_S)
            if closed:
                raise CutShort
            if not arrival.connection.is_gone and arrival.age_s() > max(self.answered_within_s, held_s):
                raise StoodStill
        if arrival.connection.is_gone:
            raise CutShort

    def when_gone(self, call: Callable[[], object]) -> None:
        """Calls it when the mod hangs up, or now if it has."""
        self.arrival.connection.on_gone = call
        if self.arrival.connection.is_gone:
            call()


def arrival_of(scope: Scope) -> Arrival:
    """When the request arrived. Now, if the listener did not note it."""
    found: Arrival | None = scope.get("state", {}).get("arrival")
    return found or Arrivals().begun(CallerConnection())


def announced_bytes(scope: Scope) -> int | None:
    """The length of the body according to its header, None without one."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None


async def read_body(
    scope: Scope,
    receive: Receive,
    limit_bytes: int,
    keep_bytes: int | None = None,
    incoming: Incoming | None = None,
) -> tuple[bytes, int]:
    """The first `keep_bytes` of a body (None: all), and its size. The listener bounds how long this takes.

    What is kept of a body that comes in pieces counts as `incoming` until the body is whole. Raises TooLarge
    beyond `limit_bytes`, BeyondPace if `incoming` has reached its limit, CutShort.
    """
    if (announced_bytes(scope) or 0) > limit_bytes:
        raise TooLarge
    chunks: list[bytes] = []
    size_bytes = kept_bytes = 0
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CutShort
            chunk: bytes = message.get("body", b"")
            size_bytes += len(chunk)
            if size_bytes > limit_bytes:
                raise TooLarge
            is_whole = not message.get("more_body")
            if is_whole and not chunks:
                return chunk[:keep_bytes], size_bytes
            if keep_bytes is None or kept_bytes < keep_bytes:
                chunks.append(chunk)
                kept_bytes += len(chunk)
                if incoming and not incoming.add(len(chunk)):
                    raise BeyondPace("result_bytes")
            if is_whole:
                return b"".join(chunks)[:keep_bytes], size_bytes
    finally:
        if incoming and kept_bytes:
            incoming.add(-kept_bytes)
