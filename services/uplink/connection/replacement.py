"""Decides when a new socket replaces the one in use. Pure: times and dice are arguments.

It does so after some requests or hours, and if Takaro asks nothing on it. Takaro asks every server each
30 s, on the socket that identified last (protocol.md T3, T16). When it asks nothing, either that socket is
dead, and a new identify helps, or another client has identified with the same token: an old bridge that was
never stopped. Then that client would answer each identify of ours with its own.
"""

from dataclasses import dataclass
from enum import Enum, auto, unique

from services.uplink.connection.link_times import LinkTimes, Uniform

SPREAD = 0.1  # by this share, limits differ from socket to socket: a fleet must not identify at one moment

AT_MOST_EVERY_S = 3_600.0  # between two replacements because Takaro asks nothing, and two warnings

_NEVER_S = float("-inf")


@unique
class Finding(Enum):
    """The result of a check of the socket in use."""

    NOTHING = auto()
    NO_REQUESTS = auto()  # Takaro asks nothing on it: replace the socket
    USURPED = auto()  # Takaro did not ask on the new one either: log it, and do no more
    ASKED_AGAIN = auto()  # Takaro asks again after that


@dataclass(slots=True)
class OtherClientWatch:
    """Notices another client with our identity, which Takaro asks in our place: Takaro has asked once, and
    has not asked the socket in use for `quiet_after_s`."""

    quiet_after_s: float
    asked_s: float | None = None
    _renewed_s: float = _NEVER_S
    _warned_s: float = _NEVER_S
    _usurped: bool = False

    def check(self, identified_s: float, asked_s: float | None, now_s: float) -> Finding:
        """Checks the socket in use: when it was identified, and last asked by Takaro (None: never)."""
        if asked_s is not None and (self.asked_s is None or asked_s > self.asked_s):
            self.asked_s = asked_s
            if self._usurped:
                self._usurped = False
                return Finding.ASKED_AGAIN
        is_quiet = now_s - max(self.asked_s or _NEVER_S, identified_s) >= self.quiet_after_s
        if not is_quiet or now_s - self._warned_s < AT_MOST_EVERY_S:
            return Finding.NOTHING
        if now_s - self._renewed_s >= AT_MOST_EVERY_S:
            self._renewed_s = now_s
            return Finding.NO_REQUESTS
        if self.asked_s is None:
            return Finding.NOTHING
        self._warned_s, self._usurped = now_s, True
        return Finding.USURPED


class Replacement:
    """The limits of the socket in use. `wanted`: replace it in any case."""

    def __init__(self, times: LinkTimes) -> None:
        self.wanted = False
        self.other_client = OtherClientWatch(times.quiet_after_s)
        self._times = times
        self._most_requests = self._oldest_s = 0.0

    def begin(self, now_s: float, uniform: Uniform) -> None:
        """Sets the limits of a new socket."""
        self.wanted = False
        self._most_requests = self._times.replace_after_requests * uniform(1 - SPREAD, 1 + SPREAD)
        self._oldest_s = now_s + self._times.replace_after_s * uniform(1 - SPREAD, 1 + SPREAD)

    def is_over(self, asked_count: int, now_s: float) -> bool:
        """Whether a socket with this number of requests has reached a limit."""
        return asked_count >= self._most_requests or now_s >= self._oldest_s
