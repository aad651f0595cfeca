"""Which call of a mod a request is, and which key it carries. Pure: a request in, a `ModCall` out.

The base of a mod's URL is whatever its operator typed: with `/k/<mod key>`, with `?key=`, with doubled
slashes. The id in the path is not an identity (protocol.md M2); only `agent` means something: the log
agent, which posts beside the mod.
"""

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qs

Headers = Iterable[tuple[bytes, bytes]]


class CallKind(Enum):
    REGISTER = "register"
    EVENTS = "events"
    AGENT = "agent"
    POLL = "poll"
    RESULT = "result"
    OTHER = "other"


class ModCall(NamedTuple):
    """`path` has neither the key nor doubled slashes. `operation_id` is set for RESULT only."""

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


def read_call(method: str, path: str, query: bytes, headers: Headers) -> ModCall:
    """The call of a request. A key in the path comes first, then one in the query, then the Bearer token of a
    POST.

    The last part of the path decides: a mod without a saved id calls `/gameserver//poll`.
    """
    parts = list(filter(None, path.split("/")))
    key = ""
    if len(parts) >= 2 and parts[0] == "k":
        key = parts[1]
        del parts[:2]
    if not key and query:
        key = parse_qs(query.decode("latin-1")).get("key", [""])[0]
    if not key and method == "POST":  # the engine's GET carries no header (protocol.md M7)
        key = _bearer(headers)
    kind, operation_id = CallKind.OTHER, ""
    match parts:
        case ["gameserver", "agent", "events"]:
            kind = CallKind.AGENT
        case ["gameserver", "events"] | ["gameserver", _, "events"]:
            kind = CallKind.EVENTS
        case ["gameserver", "poll"] | ["gameserver", _, "poll"]:
            kind = CallKind.POLL
        case ["gameserver", "register"]:
            kind = CallKind.REGISTER
        case ["gameserver", "operation", name, "result"] | ["gameserver", _, "operation", name, "result"]:
            kind, operation_id = CallKind.RESULT, name
    if method != _METHODS.get(kind, method):
        kind = CallKind.OTHER
    return ModCall(kind, method, "/" + "/".join(parts), key, operation_id)


def is_direct(headers: Headers) -> bool:
    """Whether a request to a loopback listener comes from a program on this machine.

    Only such a program needs no key: a proxy that serves others does, and a page in a browser too.
    """
    for name, value in headers:
        if name in _NOT_DIRECT or (name == b"host" and _LOCAL_HOST.fullmatch(value) is None):
            return False
    return True


def _bearer(headers: Headers) -> str:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").strip().partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""
