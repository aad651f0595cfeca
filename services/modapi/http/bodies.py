"""Reading a request: its body within limits, and whether whoever sent it is still there."""

import asyncio
from collections.abc import Callable

from starlette.types import Message, Receive, Scope

from services.modapi.http.rate_limits import Incoming
from services.relay.service.http.arrivals import Arrival, Arrivals

ANSWERED_WITHIN_S = 4.0
"""An answer that took longer may have met a mod that had hung up (5 s is the shortest budget seen)."""

READ_ON_S = 0.02
"""So much time the loop gets to read that somebody hung up, where the kernel does not say so."""


class TooLarge(Exception):
    """A body is beyond its limit."""


class BeyondPace(Exception):
    """An instance sends too much at once."""


class CutShort(Exception):
    """The mod hung up in the middle of its body, or while its poll was held."""


class StoodStill(Exception):
    """A request lay unread, while this process stood still, for longer than a mod waits for its answer."""


def arrival_of(scope: Scope) -> Arrival:
    """When that request came; now, if nothing says so."""
    found: Arrival | None = scope.get("state", {}).get("arrival")
    return found or Arrivals().begun()


async def still_waits(arrival: Arrival, receive: Receive, within_s: float) -> None:
    """Right before what must not be done for a mod that gave up: it sends the same again, to another modapi
    most likely. Raises CutShort when it has hung up, and StoodStill when it is likely to have: this process
    stood still, and the request is older than `within_s`.
    """
    if arrival.in_doubt():
        closed = arrival.is_closed()
        if closed is None:
            await asyncio.sleep(READ_ON_S)
        if closed or gone(receive):
            raise CutShort
        if arrival.age_s() > within_s:
            raise StoodStill
    elif gone(receive):
        raise CutShort


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge, CutShort."""
    body, _ = await read_long_body(scope, receive, limit_bytes, limit_bytes, None)
    return body


def announced_bytes(scope: Scope) -> int | None:
    """How long the body is, by its header; None when that does not say."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None


async def read_long_body(
    scope: Scope, receive: Receive, limit_bytes: int, keep_bytes: int, incoming: Incoming | None
) -> tuple[bytes, int]:
    """The first `keep_bytes` of a body, and how many it had in all. The listener bounds how long it takes.

    Raises TooLarge beyond `limit_bytes`, TooMuch when more is on its way than `incoming` allows, CutShort.
    """
    if (announced := announced_bytes(scope)) and announced > limit_bytes:
        raise TooLarge
    message = await receive()
    body = _chunk(message, 0, limit_bytes)
    size = len(body)
    if not message.get("more_body"):
        return body[:keep_bytes], size
    chunks, kept = [body], 0
    try:
        while True:
            kept += len(chunks[-1])
            if incoming and not incoming.add(len(chunks[-1])):
                raise BeyondPace
            if not message.get("more_body"):
                return b"".join(chunks)[:keep_bytes], size
            message = await receive()
            chunk = _chunk(message, size, limit_bytes)
            size += len(chunk)
            chunks.append(chunk if kept < keep_bytes else b"")
    finally:
        if incoming:
            incoming.add(-kept)


def _chunk(message: Message, size: int, limit_bytes: int) -> bytes:
    if message["type"] == "http.disconnect":
        raise CutShort
    chunk: bytes = message.get("body", b"")
    if size + len(chunk) > limit_bytes:
        raise TooLarge
    return chunk


async def hung_up(receive: Receive) -> None:
    """Waits until the mod is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def gone(receive: Receive) -> bool:
    """Has the mod hung up? Looks without waiting: one step of receive() either has the news or would wait."""
    waiting = receive()
    step: Callable[[None], object] = waiting.send  # type: ignore[attr-defined]
    try:
        step(None)
    except StopIteration as news:
        return bool(news.value["type"] == "http.disconnect")
    waiting.close()  # type: ignore[attr-defined]
    return False
