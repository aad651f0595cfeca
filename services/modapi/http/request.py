"""One request of a mod while it is answered: its sender, its body, and whether its sender still waits."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope

from services.modapi.http.calls import Credentials, Headers, ModCall
from services.modapi.http.rate_limits import Incoming, WrongKeys
from services.relay.instances.wrong_keys import WrongKeyCalls
from services.relay.service.http.addresses import Network, caller, source_of
from services.relay.service.http.arrivals import Arrival, Arrivals, CallerConnection
from services.relay.service.logs import about

logger = logging.getLogger(__name__)

READ_ON_S = 0.02
"""Time for the loop to read that a mod hung up, on systems whose kernel does not say so."""


class NoKey(Exception):
    """A call without a key, where one is needed."""


class WrongKey(Exception):
    """A call with a key that opens no instance."""


class ClosedKey(Exception):
    """A call with a key that opened the instance `slug` earlier and does not any more."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


class BeyondLimit(Exception):
    """A request exceeds a limit of the settings. `limit` is its name, "" if the caller knows it."""

    def __init__(self, limit: str = "") -> None:
        super().__init__(limit)
        self.limit = limit


class TooManyKeys(BeyondLimit):
    """An address has tried too many keys that open nothing."""


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
    """One call of a mod while it is answered. `slug` is set as soon as its instance is known."""

    call: ModCall
    address: str
    scope: Scope
    receive: Receive
    arrival: Arrival
    answered_within_s: float
    slug: str = ""

    async def raise_if_given_up(self, held_s: float = 0.0) -> None:
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


def address_behind(peer: str, headers: Headers, trusted: Sequence[Network]) -> str:
    """The address that a call comes from. Behind a proxy of `trusted` a forwarded address counts."""
    forwarded = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    return caller(peer, forwarded, trusted)


def arrival_of(scope: Scope) -> Arrival:
    """When the request arrived. Now, if the listener did not note it."""
    found: Arrival | None = scope.get("state", {}).get("arrival")
    return found or Arrivals().begun(CallerConnection())


async def read_body(
    scope: Scope,
    receive: Receive,
    *,
    refuse_beyond_bytes: int,
    keep_bytes: int | None = None,
    incoming: Incoming | None = None,
) -> tuple[bytes, int]:
    """The first `keep_bytes` of a body (None: all), and its size. The listener bounds how long this takes.

    What is kept of a body that comes in pieces counts as `incoming` until the body is whole. Raises TooLarge
    beyond `refuse_beyond_bytes`, BeyondPace if `incoming` has reached its limit, CutShort.
    """
    if (
        int(dict(scope["headers"]).get(b"content-length", 0)) > refuse_beyond_bytes
    ):  # the parser has checked it
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
            if size_bytes > refuse_beyond_bytes:
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


class Callers:
    """Says why a call is refused, and logs what callers do wrong."""

    def __init__(
        self, credentials: Credentials, wrong_calls: WrongKeyCalls, wrong_keys_per_minute: int
    ) -> None:
        self._credentials = credentials
        self._wrong_calls = wrong_calls
        self._wrong_keys = WrongKeys(wrong_keys_per_minute)

    def refusal_of(self, key: str, address: str) -> Exception:
        """The error for a key that opens no instance. The attempt is counted; good keys are never limited."""
        if not self._wrong_keys.count(source_of(address), time.monotonic()):
            return TooManyKeys("wrong_keys_per_minute")
        if not key:
            return NoKey()
        slug = self._credentials.former_slug_for(key)
        self._wrong_calls.note(address, slug or self._credentials.slug_of_token(key))
        return ClosedKey(slug) if slug else WrongKey()

    def may_try_key(self, address: str) -> bool:
        """Whether this caller may try one more key. If not, no work is done to find out which key it has."""
        return self._wrong_keys.is_within(source_of(address), time.monotonic())

    def registration_key(self, call: ModCall, registration: dict[str, Any]) -> str:
        """The key of a call to register: it may be in the body as well."""
        key, sent = call.key, registration.get("registrationToken")
        if not self._credentials.slug_for(key) and isinstance(sent, str):
            key = sent
        elif not key and isinstance(sent, str) and self._credentials.slug_for(sent):
            key = sent
        return key

    def log(self, address: str, topic: str, text: str, slug: str = "") -> None:
        """Logs a line about a caller, once a minute for each topic, instance and source of calls."""
        extra = about(f"{topic} {source_of(address)} {slug}", topic)
        logger.warning("from %s: %s", address, text, extra=extra)
