"""Which instance a secret opens. Pure. A right secret costs the same work as a wrong one."""

from collections import Counter
from collections.abc import Iterable

from services.relay.instances.entries import ServedEntry
from services.relay.instances.records import digest_of

CLOSED_KEPT = 1_000


class Credentials:
    """Finds the instance of a mod key.

    Secrets are looked up by their digest, so that the time of a look-up says nothing about a secret.
    With one instance and a listener that only this machine can reach, no secret is needed, and a mod that
    was set up for the old bridge may go on sending the identity token that it saved (protocol.md M2).
    """

    def __init__(self, served: Iterable[ServedEntry] = (), *, loopback_only: bool) -> None:
        self._loopback_only = loopback_only
        self._slugs: dict[str, str] = {}
        self._closed: dict[str, str] = {}
        self.replace(served)

    def replace(self, served: Iterable[ServedEntry]) -> None:
        """Accept the keys of these instances from now on, and no others."""
        entries = tuple(served)
        before = self._closed | self._slugs
        self._slugs = {key.digest: entry.instance.slug for entry in entries for key in entry.keys}
        self._without_secret = ""
        if self._loopback_only and len(entries) == 1:
            only = entries[0].instance
            self._without_secret = only.slug
            self._slugs[digest_of(only.identity_token.get_secret_value())] = only.slug
        tokens = [
            (digest_of(token.get_secret_value()), entry.instance.slug)
            for entry in entries
            if (token := entry.instance.registration_token)
        ]
        shared = Counter(digest for digest, _ in tokens)
        self._slugs_of_tokens = {digest: slug for digest, slug in tokens if shared[digest] == 1}
        closed = [(digest, slug) for digest, slug in before.items() if digest not in self._slugs]
        self._closed = dict(closed[-CLOSED_KEPT:])

    def slug_for(self, secret: str) -> str:
        """The instance that `secret` opens, or "" for none."""
        if not secret:
            return self._without_secret
        return self._slugs.get(digest_of(secret), "")

    def slug_of_token(self, secret: str) -> str:
        """The only instance whose registration token at Takaro is `secret`, "" for none."""
        return self._slugs_of_tokens.get(digest_of(secret), "")

    def former_slug_for(self, secret: str) -> str:
        """The instance that `secret` opened earlier in this process and no longer opens, "" for none."""
        return self._closed.get(digest_of(secret), "")
