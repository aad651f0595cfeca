"""How long has the mod of one instance been silent? Pure: times are arguments.

Two things must never make a living server look dead, for Takaro then sets every player offline
(protocol.md T17): a store that is away, for then no call can be noted, and a relay that was away itself. So
silence is what was last read, it is counted from our own start at the earliest, and the time without a store
is left out.
"""

from enum import Enum, unique

from services.relay.protocol.vocabulary import SILENT_AFTER_S

RESTARTED_AFTER_S = 45.0
"""No DayZ server is back sooner after it went down, and a mod that runs is never silent for so long."""


@unique
class ContactChange(Enum):
    """What a look can find."""

    NONE = "none"
    GONE = "gone"  # it has been silent for SILENT_AFTER_S
    RESTARTED = "restarted"  # it is back after so long a silence that its server has started anew


class Contact:
    """The mod's last contact as the last look at its lease read it."""

    def __init__(self, started_s: float) -> None:
        self._read_s = started_s
        self._contact_ms: int | None = None
        self._heard_s = started_s
        self._away_s = 0.0  # how long the store was away since that contact
        self.store_away = True  # until it was read
        self.silent_s: float | None = None
        """Seconds of silence at the last look; None: the mod was never heard of."""

    def read(self, now_s: float, store_now_ms: int, contact_ms: int | None) -> ContactChange:
        """A look read `contact_ms` while Redis' clock said `store_now_ms` and ours `now_s`.

        Ours is never set; Redis' clock may be. If the contact has changed since the last look, the mod has
        called since.
        """
        was_away, self.store_away = self.store_away, False
        before_s, away_s = self.silent_s or 0.0, now_s - self._read_s
        self._read_s = now_s
        if contact_ms is None:
            return ContactChange.NONE
        if contact_ms != self._contact_ms:
            self._contact_ms, self._away_s = contact_ms, 0.0
            self._heard_s = now_s - max(0.0, min((store_now_ms - contact_ms) / 1000, away_s))
        elif was_away:
            self._away_s += away_s
        self.silent_s = max(0.0, now_s - self._heard_s - self._away_s)
        if before_s > RESTARTED_AFTER_S > self.silent_s:
            return ContactChange.RESTARTED
        return ContactChange.GONE if before_s <= SILENT_AFTER_S < self.silent_s else ContactChange.NONE

    def lost_store(self) -> None:
        """A look could not read."""
        self.store_away = True
