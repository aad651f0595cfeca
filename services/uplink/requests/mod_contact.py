"""How long the mod of one instance has been silent. Pure: times are arguments.

If a server looks dead, Takaro sets all its players offline (protocol.md T17). So two things must not count as
silence: time without Redis, in which no call of the mod can be recorded, and time before this uplink started.
While Redis is away, the silence stays as it was last read.
"""

from enum import Enum, auto, unique

from services.relay.protocol.vocabulary import SILENT_AFTER_S

RESTARTED_AFTER_S = 45.0  # no DayZ server restarts faster; without modapi a running mod is silent too


@unique
class ContactChange(Enum):
    """What has changed since the last renewal of the lease."""

    NONE = auto()
    SILENT = auto()  # the mod has been silent for SILENT_AFTER_S
    RESTARTED = auto()  # the mod is back after RESTARTED_AFTER_S: the game server may have started anew


class ModContact:
    """The mod's last contact, as the last renewal of the lease read it."""

    def __init__(self, started_s: float) -> None:
        self._read_s = started_s
        self._contact_ms: int | None = None
        self._heard_s = started_s
        self._away_s = 0.0  # how long Redis was away since that contact
        self.store_away = True  # whether the last renewal failed. True before the first one
        self.silent_s: float | None = None  # at the last renewal; None: the mod has never called

    def read(self, now_s: float, store_now_ms: int, contact_ms: int | None) -> ContactChange:
        """Takes in a renewal: the mod called at `contact_ms` on Redis' clock, which showed `store_now_ms`.

        `now_s` is on our own clock, which nobody sets. Redis' clock may be set: so a contact that differs
        from that of the last renewal is a call made since then, whatever it says.
        """
        was_away, self.store_away = self.store_away, False
        before_s, away_s = self.silent_s or 0.0, now_s - self._read_s
        self._read_s = now_s
        contact_ms = contact_ms or self._contact_ms  # Redis may have lost its data
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
        return ContactChange.SILENT if before_s <= SILENT_AFTER_S < self.silent_s else ContactChange.NONE
