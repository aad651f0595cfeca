"""Which instance does a secret open? Pure, and the same work for a good secret as for a bad one."""

from collections.abc import Iterable

from services.relay.instances.entries import Entry
from services.relay.instances.records import digest_of


class Credentials:
    """Mod keys to instances.

    Secrets are looked up by their digest, so that how long a look-up takes says nothing of a secret.
    With one instance and a listener that only this machine can reach, no secret is needed, and a mod that
    was set up for the old bridge may go on presenting the identity token it saved (contract.md A1).
    """

    def __init__(self, served: Iterable[Entry] = (), *, loopback_only: bool) -> None:
        self._loopback_only = loopback_only
        self.admit(served)

    def admit(self, served: Iterable[Entry]) -> None:
        """From now on the keys of these instances open, and no others."""
        entries = tuple(served)
        self._slugs = {key.digest: entry.instance.slug for entry in entries for key in entry.keys}
        self._without_secret = ""
        if self._loopback_only and len(entries) == 1:
            only = entries[0].instance
            self._without_secret = only.slug
            self._slugs[digest_of(only.identity_token.get_secret_value())] = only.slug

    def slug_for(self, secret: str) -> str:
        """The instance that `secret` opens, or "" for none."""
        if not secret:
            return self._without_secret
        return self._slugs.get(digest_of(secret), "")
