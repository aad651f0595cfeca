"""Calls that a panel repeats when it has heard no answer, and that must take effect once. Pure.

The record of the instance remembers them, so that every modapi knows them and they change with it at once. No
key is kept: that of such a call is made of the admin token, which Redis does not have, and of a random word,
which the caller does not have.
"""

import base64
import hashlib
import hmac
from typing import NamedTuple

from services.relay.instances.records import AgeS, Done, Record, digest_of, open_keys
from services.relay.protocol.errors import InstanceConflict

KEPT_S = 24 * 3600
KEPT_CALLS = 16
"""How long, and how many of one instance, such calls are remembered."""


class Once(NamedTuple):
    """`key` is the caller's word for this call, `asked` all that it asks for, `secret` what Redis lacks."""

    key: str
    asked: str
    secret: str


def mod_key(once: Once, slug: str, salt: str) -> str:
    """The mod key that this call makes; the same each time."""
    return base64.urlsafe_b64encode(_mac(once, "mod key", slug, salt, once.key)).decode().rstrip("=")


def remembered(record: Record, once: Once, slug: str, salt: str, now_ms: int, age_s: AgeS) -> Record:
    """The record, which has the key of this call, with the call, which is made at `now_ms`."""
    done = Done(
        call=_call(once),
        asked=_asked(once),
        salt=salt,
        mod_key_digest=digest_of(mod_key(once, slug, salt)),
        at_ms=now_ms,
    )
    kept = [one for one in record.done if age_s(one.at_ms, None) < KEPT_S]
    return record.model_copy(update={"done": (*kept[-(KEPT_CALLS - 1) :], done)})


def repeated(record: Record | None, once: Once | None, age_s: AgeS) -> Done | None:
    """What is remembered of an earlier call of this word. Raises InstanceConflict if it cannot be answered
    as it was."""
    if record is None or once is None:
        return None
    call = _call(once)
    for done in record.done:
        if done.call != call or age_s(done.at_ms, None) >= KEPT_S:
            continue
        if done.asked != _asked(once):
            raise InstanceConflict(
                "this Idempotency-Key was used for another call: each call needs its own, and its repeats"
                " the same"
            )
        if done.mod_key_digest not in {key.digest for key in open_keys(record.mod_key_digests, age_s)}:
            raise InstanceConflict(
                "this call was done before, and the key that it made opens no longer: make a new call, with"
                " an Idempotency-Key of its own"
            )
        return done
    return None


def _call(once: Once) -> str:
    return _mac(once, "call", once.key).hex()


def _asked(once: Once) -> str:
    return _mac(once, "asked", once.asked).hex()


def _mac(once: Once, *parts: str) -> bytes:
    return hmac.digest(once.secret.encode(), "\0".join(parts).encode(), hashlib.sha256)
