"""Instances that are kept in Redis, as records, and what each change makes of one. Pure: times are arguments.

Of a mod key only the SHA-256 is kept: whoever reads Redis, or a copy of it, cannot speak for a server.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict

from services.relay.service.settings_values import DisplayName, Token

AgeS = Callable[[float, bool | None], float]
"""How long ago, s, Redis' clock showed a time, ms, at least; with `behind` of `SteppedClock.age`."""


class _Frozen(BaseModel):
    # A newer version may have written more than we know: that is ignored.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class KeyDigest(_Frozen):
    """One mod key. `expires_ms` is set once the key is being replaced: until then it opens if Redis' clock is
    not set meanwhile (see `open_keys`).

    `behind`: whether Redis' clock had shown more than `added_ms` before. None: this is not known.
    """

    digest: str
    added_ms: int
    expires_ms: int | None = None
    behind: bool | None = None


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


class InstanceUpdate(NamedTuple):
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


def changed(record: Record, change: InstanceUpdate) -> Record:
    """The record with the change made. Raises pydantic's ValidationError, a ValueError."""
    given: dict[str, Any] = {name: value for name, value in change._asdict().items() if value is not None}
    if given.get("registration_token") == "":
        given["registration_token"] = None
    return Record.model_validate({**_raw(record), **given})


def rotated(record: Record, new: KeyDigest, overlap_ms: int) -> Record:
    """The record with the `new` key. The newest old one opens for `overlap_ms` more, all others no longer."""
    replaced = record.mod_key_digests[-1:] if overlap_ms > 0 else ()
    kept = [key.model_copy(update={"expires_ms": new.added_ms + overlap_ms}) for key in replaced]
    return record.model_copy(update={"mod_key_digests": (*kept, new)})


def overlap_left_s(record: Record, age_s: AgeS) -> float | None:
    """How long a replaced key still opens beside the newest; None: there is none."""
    keys = record.mod_key_digests
    return max((_left_s(key, keys[-1], age_s) for key in open_keys(keys, age_s)[:-1]), default=None)


def removed(record: Record, now_ms: int) -> Record:
    """Its keys are gone for good: who takes the instance up again gets a new one."""
    return record.model_copy(update={"removed_ms": now_ms, "mod_key_digests": ()})


def open_keys(keys: tuple[KeyDigest, ...], age_s: AgeS) -> tuple[KeyDigest, ...]:
    """Those of all `keys` of a record that open, in the order in which they were added.

    A replaced key's time counts from the moment at which the newest key was added. It is an age, for Redis'
    clock may be set, and the least that it can be: no mod is to be locked out early.
    """
    return tuple(key for key in keys if key.expires_ms is None or _left_s(key, keys[-1], age_s) > 0)


def _left_s(key: KeyDigest, newest: KeyDigest, age_s: AgeS) -> float:
    overlap_s = ((key.expires_ms or 0) - newest.added_ms) / 1000
    return overlap_s - age_s(newest.added_ms, newest.behind)


def _raw(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.model_fields}


def open_replaced_keys(records: Iterable[Record], age_s: AgeS) -> tuple[str, ...]:
    """The digests of all keys that were replaced and still open."""
    several = (record.mod_key_digests for record in records if len(record.mod_key_digests) > 1)
    return tuple(key.digest for keys in several for key in open_keys(keys, age_s) if key.expires_ms)
