"""Which uplink an instance belongs to. Pure.

Rendezvous hashing: when a member leaves, only its instances move, spread over all others. A member that joins
takes its share from all others. Belonging is a preference; only the lease decides.
"""

from collections.abc import Collection
from hashlib import blake2b


def preferred(slug: str, members: Collection[str]) -> str:
    """The member that the instance `slug` belongs to. `members` is not empty."""
    return max(members, key=lambda member: blake2b(f"{member} {slug}".encode(), digest_size=8).digest())
