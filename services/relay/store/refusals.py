"""The meaning of a refusal of Redis: whether the command was carried out, and what to do now. Pure. Every
refusal is known here by the first word of its text, as the server wrote it.
"""

from enum import Enum
from typing import NamedTuple

from services.relay.protocol.errors import NotCarriedOut, StoreError, StoreRefused


class RedisRefusal(Exception):
    """An error reply: its only argument is the text, as the server wrote it."""


class Unreachable(Exception):
    """There is no usable connection: nothing was sent. `refusal`: the server answered, and said no."""

    def __init__(self, why: str, refusal: RedisRefusal | None = None) -> None:
        super().__init__(why)
        self.refusal = refusal


class ConnectionLost(Exception):
    """The connection ended, or the time was up, before all replies had come."""


class Retry(Enum):
    """How to send a refused call again. For all but NEVER nothing was carried out."""

    LATER = "the same way, a little later"
    WITH_SCRIPT = "at once, with the script's text"
    RECONNECT = "by a new connection, to whoever is the primary then"
    MOVED = "to the node it names, which has the slot from now on"
    ASK = "to the node it names, this once"
    NEVER = "not at all"


class RefusalVerdict(NamedTuple):
    """`node` is "host:port" for MOVED and ASK; an empty host means the host that was asked."""

    retry: Retry
    slot: int = 0
    node: str = ""


# Each of these is said before the command, or the script's first write, has changed anything:
# Redis checks them on the way in (processCommand), and inside a script only while it has written nothing yet.
_RETRIES = {
    "NOSCRIPT": Retry.WITH_SCRIPT,
    "MOVED": Retry.MOVED,
    "ASK": Retry.ASK,
    "TRYAGAIN": Retry.LATER,  # a slot on its way: some of the keys are here, some there
    "CLUSTERDOWN": Retry.RECONNECT,
    "LOADING": Retry.RECONNECT,
    "READONLY": Retry.RECONNECT,
    "MASTERDOWN": Retry.RECONNECT,
    "BUSY": Retry.LATER,
    "NOREPLICAS": Retry.LATER,
}

_WORDS = {
    "OOM": "Redis is full (maxmemory): it takes no new events until some are delivered",
    "MISCONF": "Redis cannot write to its disk and takes no events: see its log, most often the disk is full",
    "NOREPLICAS": "Redis has too few replicas for its own min-replicas-to-write and takes no events",
    "CLUSTERDOWN": "the Redis cluster is down, or does not serve all slots",
    "MOVED": "the servers do not agree on who serves a slot (a cluster needs redis+cluster:// in redis.url)",
    "LOADING": "Redis is still reading its data",
    "READONLY": "this Redis is a replica",
    "MASTERDOWN": "this Redis is a replica that has lost its primary",
    "NOAUTH": "Redis asks for a password: put it into redis.url",
    "WRONGPASS": "Redis refuses the user or password of redis.url",
    "NOPERM": "the user of redis.url lacks a right",
}
_OPERATORS = ("NOAUTH", "WRONGPASS", "NOPERM")
_CHECKED_FIRST = (*_RETRIES, "OOM", "MISCONF")
"""Errors that come before anything is carried out, from a command and from a script with `#!lua`."""


def verdict_on(refusal: RedisRefusal) -> RefusalVerdict:
    """What to do about a refusal."""
    code, _, rest = str(refusal).partition(" ")
    retry = _RETRIES.get(code, Retry.NEVER)
    if retry not in (Retry.MOVED, Retry.ASK):
        return RefusalVerdict(retry)
    slot, _, node = rest.partition(" ")
    return RefusalVerdict(retry, int(slot), node.strip())


def store_error(error: Exception) -> StoreError:
    """The error for the caller, in words for a person."""
    unsent = isinstance(error, Unreachable)
    if isinstance(error, Unreachable) and error.refusal:
        error = error.refusal
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    text = text.partition(", with args")[0][:200]  # a server that lacks AUTH repeats the password there
    if not isinstance(error, RedisRefusal):
        kind = NotCarriedOut if unsent else StoreError
        return kind(f"Redis: {text}")
    code, _, rest = text.partition(" ")
    if code in _OPERATORS:
        return StoreRefused(f"{_WORDS[code]} ({rest})")
    kind = NotCarriedOut if unsent or code in _CHECKED_FIRST else StoreError
    return kind(_WORDS.get(code, f"Redis: {text}"))
