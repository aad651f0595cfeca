"""Reads a request's body within limits, and finds out whether its sender has hung up."""

from collections.abc import Callable

from starlette.types import Receive, Scope

from services.modapi.http.rate_limits import Incoming
from services.relay.service.http.arrivals import Arrival, Arrivals


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


def arrival_of(scope: Scope) -> Arrival:
    """When the request arrived. Now, if the listener did not note it."""
    found: Arrival | None = scope.get("state", {}).get("arrival")
    return found or Arrivals().begun()


def announced_bytes(scope: Scope) -> int | None:
    """The length of the body according to its header, None without one."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge, CutShort."""
    body, _ = await read_long_body(scope, receive, limit_bytes, limit_bytes, None)
    return body


async def read_long_body(
    scope: Scope, receive: Receive, limit_bytes: int, keep_bytes: int, incoming: Incoming | None
) -> tuple[bytes, int]:
    """The first `keep_bytes` of a body, and the size of all of it. The listener bounds how long this takes.

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
            if kept_bytes < keep_bytes:
                chunks.append(chunk)
                kept_bytes += len(chunk)
                if incoming and not incoming.add(len(chunk)):
                    raise BeyondPace("result_bytes")
            if is_whole:
                return b"".join(chunks)[:keep_bytes], size_bytes
    finally:
        if incoming and kept_bytes:
            incoming.add(-kept_bytes)


async def until_hung_up(receive: Receive) -> None:
    """Wait until the mod hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def has_hung_up(receive: Receive) -> bool:
    """Whether the mod has hung up. Does not wait: one step of receive() returns a message or would wait."""
    waiting = receive()
    step: Callable[[None], object] = waiting.send  # type: ignore[attr-defined]
    try:
        step(None)
    except StopIteration as news:
        return bool(news.value["type"] == "http.disconnect")
    waiting.close()  # type: ignore[attr-defined]
    return False
