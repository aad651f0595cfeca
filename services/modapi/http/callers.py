"""The caller of a request: the instance that its key opens, or why it opens none."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.types import Scope

from services.modapi.http.calls import Headers, ModCall, is_direct
from services.modapi.http.rate_limits import WrongKeys
from services.modapi.http.request import BeyondLimit
from services.relay.instances.entries import ServedEntry
from services.relay.instances.records import digest_of
from services.relay.instances.unknown_keys import UnknownKeyCalls
from services.relay.service.http.addresses import Network, caller, source_of
from services.relay.service.logs import about

CLOSED_KEPT = 1_000

logger = logging.getLogger(__name__)


class NoKey(Exception):
    """A call without a key, where one is needed."""


class WrongKey(Exception):
    """A call with a key that opens no instance."""


class ClosedKey(Exception):
    """A call with a key that opened the instance `slug` earlier and does not any more."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


class TooManyKeys(BeyondLimit):
    """An address has tried too many keys that open nothing."""


class Credentials:
    """Finds the instance of a mod key. Pure; a right secret costs the same work as a wrong one.

    Secrets are looked up by their digest, so that the time of a look-up says nothing about a secret.
    With one instance and a listener that only this machine can reach, no secret is needed, and a mod that
    was set up for the old bridge may go on sending the identity token that it saved (protocol.md M2).
    """

    def __init__(self, served: Iterable[ServedEntry] = (), *, loopback_only: bool) -> None:
        self._loopback_only = loopback_only
        self._slugs: dict[str, str] = {}
        self._closed: dict[str, str] = {}
        self.replace(served)

    def replace(self, served: Iterable[ServedEntry]) -> None:
        """Accepts the keys of these instances from now on, and no others."""
        entries = tuple(served)
        before = self._closed | self._slugs
        self._slugs = {key.digest: entry.instance.slug for entry in entries for key in entry.keys}
        self._without_secret = ""
        if self._loopback_only and len(entries) == 1:
            only = entries[0].instance
            self._without_secret = only.slug
            self._slugs[digest_of(only.identity_token.get_secret_value())] = only.slug
        tokens = [
            (digest_of(token.get_secret_value()), entry.instance.slug)
            for entry in entries
            if (token := entry.instance.registration_token)
        ]
        shared = Counter(digest for digest, _ in tokens)
        self._slugs_of_tokens = {digest: slug for digest, slug in tokens if shared[digest] == 1}
        closed = [(digest, slug) for digest, slug in before.items() if digest not in self._slugs]
        self._closed = dict(closed[-CLOSED_KEPT:])

    def slug_for(self, key: str, headers: Headers = ()) -> str:
        """The instance that the key of a request opens, "" for none. Where no key is needed, only programs on
        this machine are let in without one."""
        if key:
            return self._slugs.get(digest_of(key), "")
        return self._without_secret if is_direct(headers) else ""

    def slug_of_token(self, secret: str) -> str:
        """The only instance whose registration token at Takaro is `secret`, "" for none."""
        return self._slugs_of_tokens.get(digest_of(secret), "")

    def former_slug_for(self, secret: str) -> str:
        """The instance that `secret` opened earlier in this process and no longer opens, "" for none."""
        return self._closed.get(digest_of(secret), "")


class Callers:
    """Checks the key and the address of each call. Behind a proxy of `trusted` a forwarded address counts."""

    def __init__(
        self,
        credentials: Credentials,
        unknown_calls: UnknownKeyCalls,
        wrong_keys_per_minute: int,
        trusted: Sequence[Network],
    ) -> None:
        self._credentials = credentials
        self._unknown_calls = unknown_calls
        self._trusted = trusted
        self._wrong_keys = WrongKeys(wrong_keys_per_minute)

    def refusal_of(self, key: str, scope: Scope) -> Exception:
        """The error for a key that opens no instance. The attempt is counted; good keys are never limited."""
        if not self._wrong_keys.tried(self._source(scope), time.monotonic()):
            return TooManyKeys("wrong_keys_per_minute")
        if not key:
            return NoKey()
        slug = self._credentials.former_slug_for(key)
        self._unknown_calls.note(self.address(scope), slug or self._credentials.slug_of_token(key))
        return ClosedKey(slug) if slug else WrongKey()

    def may_try_key(self, scope: Scope) -> bool:
        """Whether this caller may try one more key. If not, no work is done to find out which key it has."""
        return self._wrong_keys.is_within(self._source(scope), time.monotonic())

    def address(self, scope: Scope) -> str:
        """The address that a call comes from."""
        peer: str = (scope.get("client") or ("?", 0))[0]
        if not self._trusted:
            return peer
        forwarded = [
            value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
        ]
        return caller(peer, forwarded, self._trusted)

    def registration_key(self, call: ModCall, registration: dict[str, Any]) -> str:
        """The key of a call to register: it may be in the body as well."""
        key, sent = call.key, registration.get("registrationToken")
        if not self._credentials.slug_for(key) and isinstance(sent, str):
            key = sent
        elif not key and isinstance(sent, str) and self._credentials.slug_for(sent):
            key = sent
        return key

    def log(self, scope: Scope, topic: str, text: str, slug: str = "") -> None:
        """Logs a line about a caller, once a minute for each topic, instance and source of calls."""
        source = f"{self._source(scope)} {slug}"
        logger.warning("from %s: %s", self.address(scope), text, extra=about(f"{topic} {source}", topic))

    def _source(self, scope: Scope) -> str:
        """What calls are counted by: the owner of an IPv6 network chooses the rest of the address freely."""
        return source_of(self.address(scope))
