"""Which call of a mod's is this, and which secret does it carry? Pure: a request in, a `ModCall` out.

The base of a mod's URL is whatever its operator typed: with `/k/<mod key>`, with `?key=`, with doubled
slashes. The id in the path is not an identity (protocol.md M2); `agent` alone means something: the log agent,
which posts beside the mod.
"""

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qs


class CallKind(Enum):
    REGISTER = "register"
    EVENTS = "events"
    AGENT = "agent"
    POLL = "poll"
    RESULT = "result"
    OTHER = "other"


class ModCall(NamedTuple):
    """`path` is what is left without key and doubled slashes; `operation_id` is set for RESULT only."""

    kind: CallKind
    method: str
    path: str
    key: str
    operation_id: str = ""


_NOT_DIRECT = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via", b"origin", b"sec-fetch-site"}
)
_LOCAL_HOST = re.compile(rb"(?:localhost|127(?:\.\d+){3}|\[::1\]|)(?::\d+)?")

_METHODS = {
    CallKind.REGISTER: "POST",
    CallKind.EVENTS: "POST",
    CallKind.AGENT: "POST",
    CallKind.POLL: "GET",
    CallKind.RESULT: "POST",
}


def read_call(method: str, path: str, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> ModCall:
    """Reads a request. The key in the URL counts before the one in the query, and that before the Bearer
    of a POST."""
    parts = [part for part in path.split("/") if part]
    key = ""
    if len(parts) >= 2 and parts[0] == "k":
        key = parts[1]
        del parts[:2]
    if not key and query:
        key = parse_qs(query.decode("latin-1")).get("key", [""])[0]
    if not key and method == "POST":  # the engine's GET carries no header (protocol.md M7)
        key = _bearer(headers)
    kind, operation_id = _kind(parts)
    if method != _METHODS.get(kind, method):
        kind = CallKind.OTHER
    return ModCall(kind, method, "/" + "/".join(parts), key, operation_id)


def is_direct(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Does a request to a loopback listener come from a program on this machine?

    Whoever needs no key must not be spoken for by a proxy that serves strangers, nor by a page in a browser.
    """
    for name, value in headers:
        if name in _NOT_DIRECT or (name == b"host" and _LOCAL_HOST.fullmatch(value) is None):
            return False
    return True


def _kind(parts: list[str]) -> tuple[CallKind, str]:
    """By the last part: a mod without a saved id calls `/gameserver//poll`."""
    if len(parts) < 2 or parts[0] != "gameserver":
        return CallKind.OTHER, ""
    match parts[-1]:
        case "events" if len(parts) <= 3:
            return CallKind.AGENT if parts[1] == "agent" else CallKind.EVENTS, ""
        case "poll" if len(parts) <= 3:
            return CallKind.POLL, ""
        case "register" if len(parts) == 2:
            return CallKind.REGISTER, ""
        case "result" if 4 <= len(parts) <= 5 and parts[-3] == "operation":
            return CallKind.RESULT, parts[-2]
    return CallKind.OTHER, ""


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").strip().partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""
