"""Notices another client with our identity, which Takaro asks in our place. Pure: times are arguments.

Takaro asks every server each 30 s, and asks the socket that identified last (protocol.md T3, T16). When it
asks nothing, either that socket is dead, and a new identify helps, or another client has identified with the
same token: an old bridge that was never stopped. Then that client would answer each identify of ours with its
own.
"""

from dataclasses import dataclass
from enum import Enum, auto, unique

AT_MOST_EVERY_S = 3_600.0
"""Time between two replacements of the socket for this reason, and between two warnings."""

_NEVER_S = float("-inf")


@unique
class Finding(Enum):
    """The result of a look at the socket in use."""

    NOTHING = auto()
    NO_REQUESTS = auto()  # Takaro asks nothing on it: replace the socket
    USURPED = auto()  # Takaro did not ask on the new one either: log it, and do no more
    ASKED_AGAIN = auto()  # Takaro asks again after that


@dataclass(slots=True)
class OtherClientWatch:
    """Remembers when Takaro last asked. Until Takaro has asked once, no other client is suspected.

    After `quiet_after_s` without a request, Takaro does not ask the socket in use (link_times.py).
    """

    quiet_after_s: float
    asked_s: float | None = None
    _renewed_s: float = _NEVER_S
    _warned_s: float = _NEVER_S
    _usurped: bool = False

    def look(self, identified_s: float, asked_s: float | None, now_s: float) -> Finding:
        """Looks at the socket in use: when it was identified, and last asked by Takaro (None: never)."""
        if asked_s is not None and (self.asked_s is None or asked_s > self.asked_s):
            self.asked_s = asked_s
            if self._usurped:
                self._usurped = False
                return Finding.ASKED_AGAIN
        if now_s - max(self.asked_s or _NEVER_S, identified_s) < self.quiet_after_s:
            return Finding.NOTHING
        if now_s - self._warned_s < AT_MOST_EVERY_S:
            return Finding.NOTHING
        if now_s - self._renewed_s < AT_MOST_EVERY_S:
            if self.asked_s is None:
                return Finding.NOTHING
            self._warned_s, self._usurped = now_s, True
            return Finding.USURPED
        self._renewed_s = now_s
        return Finding.NO_REQUESTS
