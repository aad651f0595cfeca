"""The caller of a request: the instance that its key opens, or why it opens none."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from starlette.types import Scope

from services.modapi.http.bodies import BeyondLimit
from services.modapi.http.calls import ModCall, is_direct
from services.modapi.http.rate_limits import WrongKeys
from services.modapi.served_instances import ServedInstances
from services.relay.service.http.addresses import Network, caller, source_of
from services.relay.service.logs import about

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


class Callers:
    """Checks the key and the address of each call. Behind a proxy of `trusted` a forwarded address counts."""

    def __init__(self, served_instances: ServedInstances, trusted: Sequence[Network]) -> None:
        self._credentials = served_instances.credentials
        self._unknown_calls = served_instances.unknown_calls
        self._trusted = trusted
        self._wrong_keys = WrongKeys(served_instances.limits.wrong_keys_per_minute)

    def slug_for(self, key: str, scope: Scope) -> str:
        """The instance that a key opens, "" for none."""
        if key or is_direct(scope["headers"]):
            return self._credentials.slug_for(key)
        return ""

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
        """Log a line about a caller, once a minute for each topic, instance and source of calls."""
        source = f"{self._source(scope)} {slug}"
        logger.warning("from %s: %s", self.address(scope), text, extra=about(f"{topic} {source}", topic))

    def _source(self, scope: Scope) -> str:
        """What calls are counted by: the owner of an IPv6 network chooses the rest of the address freely."""
        return source_of(self.address(scope))
