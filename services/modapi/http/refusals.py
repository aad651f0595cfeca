"""Why a call of a mod is refused, and its answer in a way that the engine's client reads (router.py)."""

import asyncio
from typing import NamedTuple

from services.relay.protocol.errors import StoreError

_WRONG_KEY = b'{"error":"unknown key: the one in the mod\'s TakaroApiUrl opens no server here"}'
_LATE = b'{"error":"this was read too late, send it again"}'
_AWAY = b'{"error":"the store is away, send it again"}'


class Refusal(NamedTuple):
    """The answer to a call that an error ended, and the line of the log about it: `log` "" means none.

    `topic` says which lines are about the same thing. Both are filled in with what is known of the call.
    """

    status: int
    body: bytes
    label: str
    topic: str = ""
    log: str = ""


class Refused(Exception):
    """Ends a call. `slug` is the instance whose former key it has, `limit` the setting that it exceeds."""

    def __init__(self, refusal: Refusal, *, slug: str = "", limit: str = "") -> None:
        super().__init__(refusal.label, slug, limit)
        self.refusal = refusal
        self.slug = slug
        self.limit = limit


class TooLarge(Exception):
    """A body is beyond its limit."""


class CutShort(Exception):
    """The mod hung up in the middle of its body, or while its poll was held."""


NO_KEY = Refusal(
    401,
    b'{"error":"no key: set TakaroApiUrl in the mod\'s config.json to http://<address of the relay>'
    b'/k/<key>, the key being one of the mod_keys of the instance"}',
    "unauthorized",
    "no key",
    log="a call without a key was refused: is it in TakaroApiUrl?",
)
CLOSED_KEY = Refusal(
    401,
    _WRONG_KEY,
    "unauthorized",
    "closed",
    log="a mod calls with a former key of {slug}: the key was replaced, or the server is disabled or removed",
)
WRONG_KEY = Refusal(
    401,
    _WRONG_KEY,
    "unauthorized",
    "401",
    log="a call with a key that opens no instance was refused: compare TakaroApiUrl in the mod's"
    " config.json with the server's mod key, and restart the DayZ server",
)
TOO_MANY_KEYS = Refusal(429, b'{"error":"too many unknown keys from this address"}', "too-much")
BEYOND_PACE = Refusal(
    429,
    b'{"error":"more than this server may send, send it again later"}',
    "too-much",
    "{limit}",
    log="{slug} is beyond limits.{limit} and is put off",
)
STOOD_STILL = Refusal(
    503,
    _LATE,
    "stood-still",
    "standstill",
    log="modapi stood still (frozen, or the machine is too busy): a request had waited for {age_s:.0f} s,"
    " its mod is asked to send it again",
)
"""The call waited unread for longer than a mod waits for its answer."""

REFUSALS: dict[type[BaseException], Refusal] = {
    TooLarge: Refusal(
        413,
        b'{"error":"the body is too large"}',
        "too-large",
        "413",
        log="a {call} body was too large and was refused",
    ),
    StoreError: Refusal(503, _AWAY, "store-away", "store", log="{error}: mods are asked to send again"),
    # The mod is gone, but the loop may not have read that yet.
    CutShort: Refusal(503, _LATE, "cut-short"),
    # This process stops, and the mod is too slow to wait for.
    asyncio.CancelledError: Refusal(503, _AWAY, "stopping"),
    # Logged with its traceback.
    Exception: Refusal(500, b'{"error":"a fault of the relay, its log says more"}', "fault"),
}
"""The answers to calls that end with an exception. The first match counts."""

NOT_READ = frozenset({401, 413, 429})
"""After these the rest of the call is not read, so the connection is closed."""
