"""Calls with an Idempotency-Key: a panel that got no answer repeats them, and they take effect once.

The record of the instance remembers them, so every modapi knows them, and call and change are stored
together. No mod key is stored: it is computed from the caller's token, which Redis does not have, and from a
random salt, which the caller does not have. A repeat comes with the same token.
"""

import base64
import hashlib
import hmac
import secrets
from typing import NamedTuple

from services.relay.instances.records import AgeS, Done, Record, digest_of, open_keys
from services.relay.protocol.errors import IdempotencyConflict

KEY_BYTES = 32
SALT_BYTES = 16

KEPT_S = 24 * 3600  # how long a call is remembered

KEPT_CALLS = 16  # number of calls of one instance that are remembered

USED_OTHERWISE = (
    "this Idempotency-Key was used for another call: each call needs its own, and its repeats the same"
)


class Once(NamedTuple):
    """`key` is the caller's Idempotency-Key, `asked` the content of the call, `secret` the token of the
    caller. `was_done`: it is known from elsewhere that the call was carried out."""

    key: str
    asked: str
    secret: str
    was_done: bool = False


class IssuedKey:
    """The mod key that a call makes for a server: a random one, or the same as the call that it repeats."""

    def __init__(self, slug: str, once: Once | None, age_s: AgeS) -> None:
        self._slug = slug
        self._once = once
        self._age_s = age_s
        self._make(secrets.token_urlsafe(SALT_BYTES))

    def _make(self, salt: str) -> None:
        self._salt, once = salt, self._once
        self.mod_key = (
            made_secret(once, "mod key", self._slug, salt) if once else secrets.token_urlsafe(KEY_BYTES)
        )

    def is_repeat(self, record: Record | None) -> bool:
        """Whether the call was done before. Then the key is that of the first call.

        Raises IdempotencyConflict if that call had another content, if its mod key does not work any more, or
        if nothing is left of it here although it was carried out.
        """
        once = self._once
        if once is None:
            return False
        kept = self._kept(record.done) if record else []
        done = next((done for done in kept if done.call == call_id(once)), None)
        if record is None or done is None:
            refuse_if_done(once)
            return False
        if done.asked != _asked(once):
            raise IdempotencyConflict(USED_OTHERWISE)
        if done.mod_key_digest not in {key.digest for key in open_keys(record.mod_key_digests, self._age_s)}:
            raise IdempotencyConflict(
                "this call was done before, and the key that it made is not valid any more: make a new call,"
                " with an Idempotency-Key of its own"
            )
        self._make(done.salt)
        return True

    def _kept(self, calls: tuple[Done, ...]) -> list[Done]:
        return [done for done in calls if self._age_s(done.at_ms, None) < KEPT_S]

    def remembered(self, record: Record, now_ms: int) -> Record:
        """The `record`, which has the key already, with this call added if it has an Idempotency-Key."""
        if self._once is None:
            return record
        done = Done(
            call=call_id(self._once),
            asked=_asked(self._once),
            salt=self._salt,
            mod_key_digest=digest_of(self.mod_key),
            at_ms=now_ms,
        )
        earlier = self._kept(record.done)[1 - KEPT_CALLS :]
        return record.model_copy(update={"done": (*earlier, done)})


def made_secret(once: Once, kind: str, name: str, salt: str) -> str:
    """The secret that this call makes for what has this name; a repeat makes the same one."""
    return base64.urlsafe_b64encode(_mac(once, kind, name, salt, once.key)).decode().rstrip("=")


def refuse_if_done(once: Once) -> None:
    """Raises IdempotencyConflict for a repeat of which nothing is left: a second call would do it again."""
    if once.was_done:
        raise IdempotencyConflict(
            "this call was carried out before, and what it made is there no more: make a new call, with an"
            " Idempotency-Key of its own"
        )


def call_id(once: Once) -> str:
    """Recognises the call in what is stored, without its Idempotency-Key."""
    return _mac(once, "call", once.key).hex()


def _asked(once: Once) -> str:
    return _mac(once, "asked", once.asked).hex()


def _mac(once: Once, *parts: str) -> bytes:
    return hmac.digest(once.secret.encode(), "\0".join(parts).encode(), hashlib.sha256)
