"""Who calls? The instance that a key opens, and the answer to those whose key opens none."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from starlette.types import Scope

from services.modapi.http.caller_log import CallerLog
from services.modapi.http.calls import ModCall, is_direct
from services.modapi.http.rate_limits import WrongKeys
from services.modapi.metrics import ModapiMetrics
from services.modapi.served_instances import ServedInstances
from services.relay.service.http.addresses import Network, caller, source_of
from services.relay.service.logs import about

logger = logging.getLogger(__name__)

_UNAUTHORIZED = b'{"error":"unknown key: the one in the mod\'s TakaroApiUrl opens no server here"}'
_NO_KEY = (
    b'{"error":"no key: set TakaroApiUrl in the mod\'s config.json to http://<address of the relay>/k/<key>, '
    b'the key being one of the mod_keys of the instance"}'
)
_TOO_MANY_KEYS = b'{"error":"too many unknown keys from this address"}'

Answer = tuple[int, bytes, str]
"""HTTP status, body, label for the metric."""


class Callers:
    """Looks at the key and the address of each call; behind one of `trusted` that is a forwarded one."""

    def __init__(
        self, served_instances: ServedInstances, metrics: ModapiMetrics, trusted: Sequence[Network]
    ) -> None:
        self._credentials = served_instances.credentials
        self._unknown_calls = served_instances.unknown_calls
        self._metrics = metrics
        self._trusted = trusted
        self._wrong_keys = WrongKeys(served_instances.limits.wrong_keys_per_minute)
        self._said = CallerLog()

    def slug(self, key: str, scope: Scope) -> str:
        """The instance that a key opens, "" for none."""
        if key or is_direct(scope["headers"]):
            return self._credentials.slug_for(key)
        return ""

    def unknown_call(self, key: str, scope: Scope) -> Answer:
        """The answer to whoever has no key that opens anything. The right ones are never put off."""
        if not self._wrong_keys.tried(self.source(scope), time.monotonic()):
            self._metrics.beyond("wrong_keys_per_minute")
            return 429, _TOO_MANY_KEYS, "too-much"
        if not key:
            self.say(scope, "no key", "a call without a key was refused: is it in TakaroApiUrl?")
            return 401, _NO_KEY, "unauthorized"
        if slug := self._credentials.closed_for(key):
            self._unknown_calls.note(self.address(scope), slug)
            self.say(
                scope,
                "closed",
                f"a mod calls with a key of {slug} that opens no longer: the key was replaced, or the server"
                " is disabled or removed",
                slug,
            )
            return 401, _UNAUTHORIZED, "unauthorized"
        self._unknown_calls.note(self.address(scope), self._credentials.meant_by(key))
        self.say(
            scope,
            "401",
            "a call with a key that opens no instance was refused: compare TakaroApiUrl in the mod's"
            " config.json with the server's mod key, and restart the DayZ server",
        )
        return 401, _UNAUTHORIZED, "unauthorized"

    def is_within(self, scope: Scope) -> bool:
        """May whoever calls try one more key? Else no work is done to find out which it brings."""
        return self._wrong_keys.is_within(self.source(scope), time.monotonic())

    def source(self, scope: Scope) -> str:
        """By what callers are told apart: of an IPv6 address the rest is its owner's to choose."""
        return source_of(self.address(scope))

    def address(self, scope: Scope) -> str:
        """Where a call comes from."""
        peer: str = (scope.get("client") or ("?", 0))[0]
        if not self._trusted:
            return peer
        forwarded = [
            value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
        ]
        return caller(peer, forwarded, self._trusted)

    def key(self, call: ModCall, registration: dict[str, Any]) -> str:
        """The secret that a call to register presents: the mod key may be in the body as well."""
        key, sent = call.key, registration.get("registrationToken")
        if not self._credentials.slug_for(key) and isinstance(sent, str):
            key = sent
        elif not key and isinstance(sent, str) and self._credentials.slug_for(sent):
            key = sent
        return key

    def say(self, scope: Scope, what: str, text: str, slug: str = "") -> None:
        """Says it once a minute for each source, and for each server there, if it is known."""
        source = f"{self.source(scope)} {slug}"
        left_out = self._said.again(what, source, time.monotonic())
        if left_out is None:
            return
        if left_out:
            text += f" (and {left_out} more of these, from other addresses, that are not in the log)"
        logger.warning("from %s: %s", self.address(scope), text, extra=about(f"{what} {source}"))
