"""Does Takaro ask somebody else in our place? Pure: times are arguments.

Takaro asks every server each 30 s, and asks the socket that identified last (protocol.md T3, T16). When it
falls silent, either that socket is a dead one, which a new identify mends, or somebody else identifies as we
do: an old bridge that was never stopped. Then a second identify would only begin a fight that nobody wins.
"""

from dataclasses import dataclass
from enum import Enum, auto, unique

QUIET_AFTER_S = 100.0
"""Three rounds of questions did not come."""

PEACE_S = 3_600.0
"""So long between two attempts to be asked again, and between two warnings."""

_NEVER_S = float("-inf")


@unique
class Finding(Enum):
    """What a look at the socket in use comes to."""

    NOTHING = auto()
    DEAF = auto()  # have a new socket
    USURPED = auto()  # the new one was not asked either: say so, and leave it at that
    ASKED_AGAIN = auto()  # after that was said


@dataclass(slots=True)
class OtherClientWatch:
    """What is known of when Takaro asked. While it never did, nobody else is suspected."""

    asked_s: float | None = None
    _renewed_s: float = _NEVER_S
    _warned_s: float = _NEVER_S
    _usurped: bool = False

    def look(self, identified_s: float, asked_s: float | None, now_s: float) -> Finding:
        """The socket in use was identified and last asked then (None: never)."""
        if asked_s is not None and (self.asked_s is None or asked_s > self.asked_s):
            self.asked_s = asked_s
            if self._usurped:
                self._usurped = False
                return Finding.ASKED_AGAIN
        if now_s - max(self.asked_s or _NEVER_S, identified_s) < QUIET_AFTER_S:
            return Finding.NOTHING
        if now_s - self._warned_s < PEACE_S:
            return Finding.NOTHING
        if now_s - self._renewed_s < PEACE_S:
            if self.asked_s is None:
                return Finding.NOTHING
            self._warned_s, self._usurped = now_s, True
            return Finding.USURPED
        self._renewed_s = now_s
        return Finding.DEAF
