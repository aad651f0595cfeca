"""Calls with an Idempotency-Key that make a secret: a repeat makes the same one.

No secret is stored. It is computed from the caller's token, which Redis does not have, and from a random
salt, which the caller does not have (modapi/admin/repeats.py). The record of an instance remembers the
digests of the keys that were made: every modapi knows them, and call and change are stored together.
"""

import base64
import hmac
from typing import NamedTuple

from services.relay.instances.records import AgeS, Record, open_keys
from services.relay.protocol.errors import IdempotencyConflict


class Once(NamedTuple):
    """`seed` is secret, and the same for a call and its repeats. `was_done`: it is known that the call was
    carried out."""

    seed: bytes
    was_done: bool = False

    def secret(self, kind: str, name: str) -> str:
        """The secret that this call makes for what has this name."""
        made = hmac.digest(self.seed, f"{kind}\0{name}".encode(), "sha256")
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    def refuse_if_done(self) -> None:
        """Raises IdempotencyConflict for a repeat of which nothing is left: it would do it again."""
        if self.was_done:
            raise IdempotencyConflict(
                "this call was carried out before, and what it made is there no more: make a new call, with"
                " an Idempotency-Key of its own"
            )


def is_repeat(once: Once | None, digest: str, record: Record | None, age_s: AgeS) -> bool:
    """Whether the mod key with this `digest` was made before, by an earlier try of this call.

    Raises IdempotencyConflict if it does not work any more, or if nothing is left of it here although the
    call was carried out.
    """
    if record and digest in {key.digest for key in open_keys(record.mod_key_digests, age_s)}:
        return True
    if record and digest in record.made:
        raise IdempotencyConflict(
            "this call was done before, and the key that it made is not valid any more: make a new call,"
            " with an Idempotency-Key of its own"
        )
    if once:
        once.refuse_if_done()
    return False
