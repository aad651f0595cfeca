"""Calls with an Idempotency-Key: a panel that got no answer repeats them, and they take effect once. Pure.

The record of the instance remembers them, so every modapi knows them, and call and change are stored
together. No mod key is stored: it is computed from the caller's token, which Redis does not have, and from a
random salt, which the caller does not have. A repeat comes with the same token.
"""

import base64
import hashlib
import hmac
from typing import NamedTuple

from services.relay.instances.records import AgeS, Done, Record, digest_of, open_keys
from services.relay.protocol.errors import IdempotencyConflict

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


def mod_key(once: Once, slug: str, salt: str) -> str:
    """The mod key that this call makes; a repeat makes the same one."""
    return made_secret(once, "mod key", slug, salt)


def made_secret(once: Once, kind: str, name: str, salt: str) -> str:
    """The secret that this call makes for what has this name; a repeat makes the same one."""
    return base64.urlsafe_b64encode(_mac(once, kind, name, salt, once.key)).decode().rstrip("=")


def remembered(record: Record, once: Once, slug: str, salt: str, now_ms: int, age_s: AgeS) -> Record:
    """The `record`, which has the mod key of this call already, with the call added at `now_ms`."""
    done = Done(
        call=call_id(once),
        asked=_asked(once),
        salt=salt,
        mod_key_digest=digest_of(mod_key(once, slug, salt)),
        at_ms=now_ms,
    )
    kept = [one for one in record.done if age_s(one.at_ms, None) < KEPT_S]
    return record.model_copy(update={"done": (*kept[-(KEPT_CALLS - 1) :], done)})


def repeated(record: Record | None, once: Once | None, age_s: AgeS) -> Done | None:
    """The earlier call with the same Idempotency-Key, None if there is none.

    Raises IdempotencyConflict if that call had another content, if its mod key does not work any more, or if
    nothing is left of it here although it was carried out.
    """
    if once is None:
        return None
    if record is None:
        refuse_if_done(once)
        return None
    call = call_id(once)
    found = [done for done in record.done if done.call == call and age_s(done.at_ms, None) < KEPT_S]
    if not found:
        refuse_if_done(once)
        return None
    done = found[0]
    if done.asked != _asked(once):
        raise IdempotencyConflict(USED_OTHERWISE)
    if done.mod_key_digest not in {key.digest for key in open_keys(record.mod_key_digests, age_s)}:
        raise IdempotencyConflict(
            "this call was done before, and the key that it made is not valid any more: make a new call,"
            " with an Idempotency-Key of its own"
        )
    return done


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
