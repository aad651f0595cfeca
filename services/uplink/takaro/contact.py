"""How long has the mod of one instance been silent? Pure: times are arguments.

Two things must never make a living server look dead, for Takaro then sets every player offline (contract.md
B3): a store that is away, and a relay that was away itself. So silence is what was last read, and it is
counted from our own start at the earliest.
"""

from enum import Enum, unique

SILENCE_LIMIT_S = 60.0
"""A mod calls every 2 s. After this long without a call its server counts as away."""

RESTARTED_AFTER_S = 45.0
"""No DayZ server is back sooner after it went down, and a mod that runs is never silent for so long."""


@unique
class Change(Enum):
    """What a look can find."""

    NONE = "none"
    GONE = "gone"  # it has been silent for SILENCE_LIMIT_S
    RESTARTED = "restarted"  # it is back after so long a silence that its server has started anew


class Contact:
    """The mod's last contact as the last look at its lease read it."""

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self.store_away = True  # until it was read
        self.silent_s: float | None = None
        """Seconds of silence at the last look; None: the mod was never heard of."""

    def read(self, now_s: float, store_now_ms: int, contact_ms: int | None) -> Change:
        """A look read `contact_ms` while Redis' clock said `store_now_ms` and ours `now_s`."""
        self.store_away = False
        if contact_ms is None:
            return Change.NONE
        before_s = self.silent_s or 0.0
        self.silent_s = max(0.0, min((store_now_ms - contact_ms) / 1000, now_s - self._started_s))
        if before_s > RESTARTED_AFTER_S > self.silent_s:
            return Change.RESTARTED
        return Change.GONE if before_s <= SILENCE_LIMIT_S < self.silent_s else Change.NONE

    def lost_store(self) -> None:
        """A look could not read."""
        self.store_away = True
