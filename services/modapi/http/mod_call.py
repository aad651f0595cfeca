"""One call of a mod while it is answered: its sender, its body, and whether its sender still waits."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope

from services.modapi.http import refusals
from services.modapi.http.body_memory import BodyMemory
from services.modapi.http.calls import Credentials, ParsedCall
from services.modapi.http.rate_limits import WrongKeys
from services.modapi.http.refusals import CutShort, Refused, TooLarge
from services.relay.instances.wrong_keys import WrongKeyCalls
from services.relay.service.arrivals import Arrival, Arrivals, CallerConnection
from services.relay.service.http.addresses import source_of
from services.relay.service.logs import about

logger = logging.getLogger(__name__)

READ_ON_S = 0.02
"""Time for the loop to read that a mod hung up, on systems whose kernel does not say so."""


@dataclass(slots=True)
class ModCall:
    """One call of a mod while it is answered. `slug` is set as soon as its instance is known."""

    parsed: ParsedCall
    address: str
    scope: Scope
    receive: Receive
    arrival: Arrival
    answered_within_s: float
    slug: str = ""

    async def raise_if_given_up(self, held_s: float = 0.0) -> None:
        """Call this right before a step that must not be done for a mod that has given up this call.

        Such a mod repeats the call, most likely to another modapi. Raises CutShort if the mod has hung up,
        and Refused if it probably has: this process stood still, and the call is older than a mod waits
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
                raise Refused(refusals.STOOD_STILL)
        if arrival.connection.is_gone:
            raise CutShort


def arrival_of(scope: Scope) -> Arrival:
    """When the call arrived. Now, if the listener did not note it."""
    found: Arrival | None = scope.get("state", {}).get("arrival")
    return found or Arrivals().begun(CallerConnection())


async def read_body(
    scope: Scope,
    receive: Receive,
    *,
    refuse_beyond_bytes: int,
    keep_bytes: int | None = None,
    memory: BodyMemory | None = None,
) -> tuple[bytes, int]:
    """The first `keep_bytes` of a body (None: all), and its size. The listener bounds how long this takes.

    What is kept of a body that comes in pieces takes `memory` until the body is whole. Raises TooLarge beyond
    `refuse_beyond_bytes`, Refused if there is no memory, CutShort.
    """
    # The parser has checked the length.
    if int(dict(scope["headers"]).get(b"content-length", 0)) > refuse_beyond_bytes:
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
                if memory and not memory.reserve(len(chunk)):
                    raise Refused(refusals.BEYOND_PACE, limit="result_bytes")
                chunks.append(chunk)
                kept_bytes += len(chunk)
            if is_whole:
                return b"".join(chunks)[:keep_bytes], size_bytes
    finally:
        if memory and kept_bytes:
            memory.release(kept_bytes)


class Callers:
    """Says why a call is refused, and logs what callers do wrong."""

    def __init__(
        self, credentials: Credentials, wrong_calls: WrongKeyCalls, wrong_keys_per_minute: int
    ) -> None:
        self._credentials = credentials
        self._wrong_calls = wrong_calls
        self._wrong_keys = WrongKeys(wrong_keys_per_minute)

    def refusal_of(self, key: str, address: str) -> Refused:
        """The error for a key that opens no instance. The attempt is counted; good keys are never limited."""
        if not self._wrong_keys.count(source_of(address), time.monotonic()):
            return Refused(refusals.TOO_MANY_KEYS, limit="wrong_keys_per_minute")
        if not key:
            return Refused(refusals.NO_KEY)
        slug = self._credentials.former_slug_for(key)
        self._wrong_calls.note(address, slug or self._credentials.slug_of_token(key))
        return Refused(refusals.CLOSED_KEY, slug=slug) if slug else Refused(refusals.WRONG_KEY)

    def may_try_key(self, address: str) -> bool:
        """Whether this caller may try one more key. If not, no work is done to find out which key it has."""
        return self._wrong_keys.is_within(source_of(address), time.monotonic())

    def registration_key(self, parsed: ParsedCall, registration: dict[str, Any]) -> str:
        """The key of a call to register: it may be in the body as well."""
        key, sent = parsed.key, registration.get("registrationToken")
        opens = self._credentials.slug_for
        if isinstance(sent, str) and (not opens(key) or (not key and opens(sent))):
            return sent
        return key

    def log(self, address: str, topic: str, text: str, slug: str = "") -> None:
        """Logs a line about a caller, once a minute for each topic, instance and source of calls."""
        extra = about(f"{topic} {source_of(address)} {slug}", topic)
        logger.warning("from %s: %s", address, text, extra=extra)
