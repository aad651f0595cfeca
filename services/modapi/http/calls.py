"""Which of the mod's calls an HTTP request is, its key, and the instance that this key opens. Pure.

The base of a mod's URL is whatever its operator typed: with `/k/<mod key>`, with `?key=`, with doubled
slashes. The id in the path is not an identity (protocol.md M2); only `agent` means something: the log
agent, which posts beside the mod.
"""

import re
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import parse_qs

from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.records import digest_of

CLOSED_KEPT = 1_000

Headers = Iterable[tuple[bytes, bytes]]


class CallKind(StrEnum):
    REGISTER = "register"
    EVENTS = "events"
    AGENT = "agent"
    POLL = "poll"
    RESULT = "result"
    OTHER = "other"


class ParsedCall(NamedTuple):
    """`path` has neither the key nor doubled slashes. `operation_id` is set for RESULT only."""

    kind: CallKind
    path: str
    key: str
    operation_id: str = ""


_NOT_DIRECT = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via", b"origin", b"sec-fetch-site"}
)
_LOCAL_HOST = re.compile(rb"(?:localhost|127(?:\.\d+){3}|\[::1\]|)(?::\d+)?")


def read_call(method: str, path: str, query: bytes, headers: Headers) -> ParsedCall:
    """Reads a call. A key in the path comes first, then one in the query, then the Bearer token of a POST.

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
    if method != ("GET" if kind is CallKind.POLL else "POST"):
        kind = CallKind.OTHER
    return ParsedCall(kind, "/" + "/".join(parts), key, operation_id)


def is_direct(headers: Headers) -> bool:
    """Whether a call to a loopback listener comes from a program on this machine.

    Only such a program needs no key: a proxy that serves others does, and a page in a browser too.
    """
    return not any(
        name in _NOT_DIRECT or (name == b"host" and _LOCAL_HOST.fullmatch(value) is None)
        for name, value in headers
    )


def _bearer(headers: Headers) -> str:
    sent = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, token = sent.decode("latin-1").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class Credentials:
    """Finds the instance of a mod key. Pure; a right secret costs the same work as a wrong one.

    Secrets are looked up by their digest, so that the time of a look-up says nothing about a secret. A key
    that has opened an instance is remembered: each call of its mod would compute the digest anew.
    With one instance and a listener that only this machine can reach, no secret is needed, and a mod that
    was set up for the old bridge may go on sending the identity token that it saved (protocol.md M2).
    """

    def __init__(self, served: Iterable[DefinedInstance] = (), *, loopback_only: bool) -> None:
        self._loopback_only = loopback_only
        self._slugs: dict[str, str] = {}
        self._closed: dict[str, str] = {}
        self.replace(served)

    def replace(self, served: Iterable[DefinedInstance]) -> None:
        """Accepts the keys of these instances from now on, and no others."""
        defined = tuple(served)
        self._opened: dict[str, str] = {}
        before = self._closed | self._slugs
        self._slugs = {key.digest: one.instance.slug for one in defined for key in one.keys}
        self._without_secret = ""
        if self._loopback_only and len(defined) == 1:
            only = defined[0].instance
            self._without_secret = only.slug
            self._slugs[digest_of(only.identity_token.get_secret_value())] = only.slug
        tokens = [
            (digest_of(token.get_secret_value()), definition.instance.slug)
            for definition in defined
            if (token := definition.instance.registration_token)
        ]
        shared = Counter(digest for digest, _ in tokens)
        self._slugs_of_tokens = {digest: slug for digest, slug in tokens if shared[digest] == 1}
        closed = [(digest, slug) for digest, slug in before.items() if digest not in self._slugs]
        self._closed = dict(closed[-CLOSED_KEPT:])

    def slug_for(self, key: str, headers: Headers = ()) -> str:
        """The instance that the key of a call opens, "" for none. Where no key is needed, only programs on
        this machine are let in without one."""
        if not key:
            return self._without_secret if is_direct(headers) else ""
        if slug := self._opened.get(key) or self._slugs.get(digest_of(key), ""):
            self._opened[key] = slug
        return slug

    def slug_of_token(self, secret: str) -> str:
        """The only instance whose registration token at Takaro is `secret`, "" for none."""
        return self._slugs_of_tokens.get(digest_of(secret), "")

    def former_slug_for(self, secret: str) -> str:
        """The instance that `secret` opened earlier in this process and no longer opens, "" for none."""
        return self._closed.get(digest_of(secret), "")
