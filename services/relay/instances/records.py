"""Instances that are kept in Redis, as records, and what each change makes of one. Pure: times are arguments.

Of a mod key only the SHA-256 is kept: whoever reads Redis, or a copy of it, cannot speak for a server.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict

from services.relay.settings_values import DisplayName, Token


class _Frozen(BaseModel):
    # A newer version may have written more than we know: that is ignored.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class KeyDigest(_Frozen):
    """One mod key. `expires_ms` is set once the key is being replaced."""

    digest: str
    added_ms: int
    expires_ms: int | None = None

    def opens(self, now_ms: int) -> bool:
        """Does the mod still get in with it?"""
        return self.expires_ms is None or now_ms < self.expires_ms


class Done(_Frozen):
    """A call of a panel that made a mod key and may be repeated, see once.py. No field opens anything."""

    call: str
    asked: str
    salt: str
    mod_key_digest: str
    at_ms: int


class Record(_Frozen):
    """One instance as Redis has it. Times are milliseconds on Redis' clock; no repr holds a secret.

    A removed one stays until its data is deleted; `purging` says that this has begun.
    """

    name: DisplayName
    identity_token: Token
    registration_token: Token | None = None
    mod_key_digests: tuple[KeyDigest, ...] = ()
    disabled: bool = False
    created_ms: int
    removed_ms: int | None = None
    purging: bool = False
    done: tuple[Done, ...] = ()

    @property
    def identity_digest(self) -> str:
        """What the identity is compared by, in Redis too."""
        return digest_of(self.identity_token.get_secret_value())


class Change(NamedTuple):
    """What may be changed of an instance; None leaves it, "" takes the registration token away."""

    name: str | None = None
    registration_token: str | None = None
    disabled: bool | None = None


def digest_of(secret: str) -> str:
    """SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def dump(record: Record) -> bytes:
    """The record as it is kept, the tokens readable: uplink has to present them."""
    plain = record.model_dump() | {
        "identity_token": record.identity_token.get_secret_value(),
        "registration_token": record.registration_token and record.registration_token.get_secret_value(),
    }
    return orjson.dumps(plain)


def load(stored: bytes) -> Record:
    """Raises ValueError when it is no record; the text holds no secret."""
    return Record.model_validate(orjson.loads(stored))


def changed(record: Record, change: Change) -> Record:
    """The record with the change made. Raises pydantic's ValidationError, a ValueError."""
    given: dict[str, Any] = {name: value for name, value in change._asdict().items() if value is not None}
    if given.get("registration_token") == "":
        given["registration_token"] = None
    return Record.model_validate({**_raw(record), **given})


def rotated(record: Record, digest: str, now_ms: int, overlap_ms: int) -> Record:
    """A further key. The newest of the old ones opens for `overlap_ms` more, all others no longer."""
    new = KeyDigest(digest=digest, added_ms=now_ms)
    kept: list[KeyDigest] = []
    for old in list(open_keys(record.mod_key_digests, now_ms))[-1:]:
        ends_ms = min(old.expires_ms or now_ms + overlap_ms, now_ms + overlap_ms)
        if ends_ms > now_ms:
            kept = [old.model_copy(update={"expires_ms": ends_ms})]
    return record.model_copy(update={"mod_key_digests": (*kept, new)})


def overlap_ends_ms(record: Record, now_ms: int) -> int | None:
    """Until when a replaced key still opens beside the newest; None: there is none."""
    return next(
        (key.expires_ms for key in open_keys(record.mod_key_digests, now_ms)[:-1] if key.expires_ms), None
    )


def removed(record: Record, now_ms: int) -> Record:
    """Its keys are gone for good: who takes the instance up again gets a new one."""
    return record.model_copy(update={"removed_ms": now_ms, "mod_key_digests": ()})


def open_keys(keys: Iterable[KeyDigest], now_ms: int) -> tuple[KeyDigest, ...]:
    """Those that have not run out, in the order in which they were added."""
    return tuple(key for key in keys if key.opens(now_ms))


def _raw(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.model_fields}


def next_expiry_ms(records: Iterable[Record], now_ms: int) -> int | None:
    """When the next key of any of them stops to open, None: none is going to."""
    ends_ms = (key.expires_ms for record in records for key in record.mod_key_digests if key.expires_ms)
    return min((end_ms for end_ms in ends_ms if end_ms > now_ms), default=None)
