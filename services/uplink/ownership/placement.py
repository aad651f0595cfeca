"""Which uplink should an instance be with? Pure.

Rendezvous hashing: when a member goes, only its instances move, spread over all others; one that joins
takes its share from all. It is a preference; the lease has the authority.
"""

from collections.abc import Collection
from hashlib import blake2b


def preferred(slug: str, members: Collection[str]) -> str:
    """The member that the instance `slug` belongs to. `members` is not empty."""
    return max(members, key=lambda member: blake2b(f"{member} {slug}".encode(), digest_size=8).digest())


class Pace:
    """Not more than `per_s` a second: a joining uplink takes its share little by little."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left = per_s
        self._at_s = float("-inf")

    def allows(self, now_s: float) -> bool:
        """May one more be begun now? Counts it if so."""
        self._left = min(self._per_s, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
