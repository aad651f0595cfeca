"""The answers to calls that an error ended, in ways that the engine's client understands (router.py)."""

import asyncio
from typing import NamedTuple

from services.modapi.http.request import (
    BeyondPace,
    ClosedKey,
    CutShort,
    NoKey,
    StoodStill,
    TooLarge,
    TooManyKeys,
    WrongKey,
)
from services.relay.protocol.errors import StoreError


class Refusal(NamedTuple):
    """The answer to a call that an error ended, and the line of the log about it: `log` "" means none.

    `topic` says which lines are about the same thing. `topic` and `log` are filled in with what is known of
    the call.
    """

    status: int
    body: bytes
    label: str
    topic: str = ""
    log: str = ""


_WRONG_KEY = b'{"error":"unknown key: the one in the mod\'s TakaroApiUrl opens no server here"}'
_LATE = b'{"error":"this was read too late, send it again"}'
_AWAY = b'{"error":"the store is away, send it again"}'

REFUSALS: dict[type[BaseException], Refusal] = {
    NoKey: Refusal(
        401,
        b'{"error":"no key: set TakaroApiUrl in the mod\'s config.json to http://<address of the relay>'
        b'/k/<key>, the key being one of the mod_keys of the instance"}',
        "unauthorized",
        "no key",
        log="a call without a key was refused: is it in TakaroApiUrl?",
    ),
    ClosedKey: Refusal(
        401,
        _WRONG_KEY,
        "unauthorized",
        "closed",
        log="a mod calls with a former key of {slug}: the key was replaced, or the server is disabled or"
        " removed",
    ),
    WrongKey: Refusal(
        401,
        _WRONG_KEY,
        "unauthorized",
        "401",
        log="a call with a key that opens no instance was refused: compare TakaroApiUrl in the mod's"
        " config.json with the server's mod key, and restart the DayZ server",
    ),
    TooManyKeys: Refusal(429, b'{"error":"too many unknown keys from this address"}', "too-much"),
    BeyondPace: Refusal(
        429,
        b'{"error":"more than this server may send, send it again later"}',
        "too-much",
        "{limit}",
        log="{slug} is beyond limits.{limit} and is put off",
    ),
    TooLarge: Refusal(
        413,
        b'{"error":"the body is too large"}',
        "too-large",
        "413",
        log="a {call} body was too large and was refused",
    ),
    StoreError: Refusal(503, _AWAY, "store-away", "store", log="{error}: mods are asked to send again"),
    StoodStill: Refusal(
        503,
        _LATE,
        "stood-still",
        "standstill",
        log="modapi stood still (frozen, or the machine is too busy): a request had waited for {age_s:.0f} s,"
        " its mod is asked to send it again",
    ),
    # The mod is gone, but the loop may not have read that yet.
    CutShort: Refusal(503, _LATE, "cut-short"),
    # This process stops, and the mod is too slow to wait for.
    asyncio.CancelledError: Refusal(503, _AWAY, "stopping"),
    # Logged with its traceback.
    Exception: Refusal(500, b'{"error":"a fault of the relay, its log says more"}', "fault"),
}
"""The answers to calls that end with an exception. The first entry that matches counts."""

NOT_READ = frozenset({401, 413, 429})
"""After these the rest of the request is not read, so the connection is closed."""
