"""Which instance does a secret open? Pure, and the same work for a good secret as for a bad one."""

import hashlib
from collections.abc import Iterable

from services.relay.settings import Instance


class Credentials:
    """Mod keys to instances.

    Secrets are looked up by their digest, so that how long a look-up takes says nothing of a secret.
    With one instance and a listener that only this machine can reach, no secret is needed, and a mod that
    was set up for the old bridge may go on presenting the identity token it saved (contract.md A1).
    """

    def __init__(self, instances: Iterable[Instance], *, loopback_only: bool) -> None:
        self._slugs: dict[bytes, str] = {}
        known = tuple(instances)
        for instance in known:
            for key in instance.mod_keys:
                self._slugs[_digest(key.get_secret_value())] = instance.slug
        self._without_secret = ""
        if loopback_only and len(known) == 1:
            self._without_secret = known[0].slug
            self._slugs[_digest(known[0].identity_token.get_secret_value())] = known[0].slug

    def slug_for(self, secret: str) -> str:
        """The instance that `secret` opens, or "" for none."""
        if not secret:
            return self._without_secret
        return self._slugs.get(_digest(secret), "")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
