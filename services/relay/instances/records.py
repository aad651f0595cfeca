"""The records of instances that are stored in Redis, and the changes of a record. Pure: times are arguments.

Only the SHA-256 of a mod key is stored: with a copy of Redis nobody can call as a mod.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, SecretStr, StringConstraints

from services.relay.service.settings_values import DisplayName, Token

AgeS = Callable[[float, bool | None], float]
"""(time in ms on Redis' clock, `behind` of `SteppedClock.age`) -> its age in seconds, at least."""

ExternalId = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
]
"""A panel's own id of a server."""

_REMOVABLE = ("registration_token", "external_id")

KEPT_KEYS = 16  # number of mod keys that a record remembers


class _Frozen(BaseModel):
    # A newer version may have written fields that we do not know: they are ignored.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class KeyDigest(_Frozen):
    """One mod key."""

    digest: str
    added_ms: int
    expires_ms: int | None = None  # set once the key is being replaced: it works until then (see `open_keys`)
    behind: bool | None = None  # whether Redis' clock had shown more than `added_ms` before; None: unknown


class Record(_Frozen):
    """One instance as Redis has it. Times are milliseconds on Redis' clock; no repr holds a secret. The
    record of a removed instance stays until its data is deleted; `purging`: the deletion has begun."""

    name: DisplayName
    identity_token: Token
    registration_token: Token | None = None
    external_id: ExternalId | None = None
    mod_key_digests: tuple[KeyDigest, ...] = ()
    disabled: bool = False
    created_ms: int
    removed_ms: int | None = None
    purging: bool = False
    made: tuple[str, ...] = ()  # digests of the last mod keys that calls have made (once.py)

    @property
    def identity_digest(self) -> str:
        """The digest by which identities are compared, in Redis too."""
        return digest_of(self.identity_token.get_secret_value())


def digest_of(secret: str) -> str:
    """SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def dump(record: Record) -> bytes:
    """The record as JSON for Redis, with readable tokens: uplink has to send them to Takaro."""
    return orjson.dumps(record.model_dump(), SecretStr.get_secret_value)


def load(stored: bytes) -> Record:
    """Reads what `dump` wrote. Raises ValueError if that is not possible; the error has no secret."""
    return Record.model_validate(orjson.loads(stored))


def changed(record: Record, change: Mapping[str, Any]) -> Record:
    """The record with the fields of `change`. None takes a token or an external id away, and leaves any other
    field as it is. Raises pydantic's ValidationError, a ValueError."""
    given = {name: value for name, value in change.items() if value is not None or name in _REMOVABLE}
    return Record.model_validate({**dict(record), **given})


def rotated(record: Record, new: KeyDigest, overlap_ms: int) -> Record:
    """The record with the `new` key. The newest old key works for `overlap_ms` more, others end at once."""
    replaced = record.mod_key_digests[-1:] if overlap_ms > 0 else ()
    kept = [key.model_copy(update={"expires_ms": new.added_ms + overlap_ms}) for key in replaced]
    made = (*record.made, new.digest)[-KEPT_KEYS:]
    return record.model_copy(update={"mod_key_digests": (*kept, new), "made": made})


def removed(record: Record, now_ms: int) -> Record:
    """The removed record, without its keys: if the instance is added again, it gets a new key."""
    return record.model_copy(update={"removed_ms": now_ms, "mod_key_digests": ()})


def overlap_left_s(record: Record, age_s: AgeS) -> float | None:
    """How long (s) a replaced key still works beside the newest; None: no replaced key works."""
    keys = record.mod_key_digests
    return max((_left_s(key, keys[-1], age_s) for key in open_keys(keys, age_s)[:-1]), default=None)


def open_keys(keys: tuple[KeyDigest, ...], age_s: AgeS) -> tuple[KeyDigest, ...]:
    """The `keys` of a record that work, in the order in which they were added. The time that is left to a
    replaced key is computed from the least possible age of the newest one: Redis' clock may be set, and no
    mod must be locked out too early."""
    return tuple(key for key in keys if key.expires_ms is None or _left_s(key, keys[-1], age_s) > 0)


def _left_s(key: KeyDigest, newest: KeyDigest, age_s: AgeS) -> float:
    overlap_s = ((key.expires_ms or 0) - newest.added_ms) / 1000
    return overlap_s - age_s(newest.added_ms, newest.behind)


def open_replaced_keys(records: Iterable[Record], age_s: AgeS) -> tuple[str, ...]:
    """The digests of all keys that were replaced and still work."""
    several = (record.mod_key_digests for record in records if len(record.mod_key_digests) > 1)
    return tuple(key.digest for keys in several for key in open_keys(keys, age_s) if key.expires_ms)
