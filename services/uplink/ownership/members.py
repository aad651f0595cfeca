"""Which uplinks are alive, and which of them an instance belongs to. Pure.

Each uplink counts its beats in Redis. A member is alive while its count grows, by the observer's own clock.
The clocks of other machines are not believed, nor Redis' own, which can be set (protocol.md R6).

Rendezvous hashing: when a member leaves, only its instances move, spread over all others. A member that joins
takes its share from all others. Belonging is a preference; only the lease decides.
"""

from collections.abc import Collection, Mapping
from hashlib import blake2b

BEAT_EVERY_S = 1.0
ALIVE_FOR_S = 3.5


class Members:
    """The uplinks of the fleet as one of them, `own`, sees them."""

    def __init__(self, own: str, alive_for_s: float = ALIVE_FOR_S) -> None:
        self.own = own
        self._alive_for_s = alive_for_s
        self.alive = frozenset([own])
        self.since_s = float("-inf")  # when `alive` last changed
        self._read_s = float("-inf")
        self._counts: dict[str, int] = {}
        self._moved_s: dict[str, float] = {}

    def read(self, now_s: float, counts: Mapping[str, int]) -> list[str]:
        """Takes in the counts in Redis. Returns the dead members, whose counts are to be deleted: one that
        was wrongly taken for dead begins to count again."""
        was_away = now_s - self._read_s > self._alive_for_s
        self._read_s = now_s
        for member, count in counts.items():
            # A new member is believed for a while. So are all of them if we could not read Redis for a while.
            if was_away or self._counts.get(member) != count:
                self._moved_s[member] = now_s
        self._counts = dict(counts)
        self._moved_s = {member: at_s for member, at_s in self._moved_s.items() if member in counts}
        alive = frozenset(m for m, at_s in self._moved_s.items() if now_s - at_s <= self._alive_for_s)
        alive |= {self.own}
        if alive != self.alive:
            self.alive, self.since_s = alive, now_s
        return [member for member in counts if member not in alive]


def preferred(slug: str, members: Collection[str]) -> str:
    """The member that the instance `slug` belongs to. `members` is not empty."""
    return max(members, key=lambda member: blake2b(f"{member} {slug}".encode(), digest_size=8).digest())
