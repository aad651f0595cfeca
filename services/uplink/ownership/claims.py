"""What one uplink does about one instance's lease, by what it saw of it. Pure.

An instance moves make-before-break: the uplink it belongs to says in the lease that it stands by, then dials,
and only when it has an identified socket the owner lets go (protocol.md T3: Takaro takes events from both
sockets of one identity, and asks the newest). Whoever has begun sees it through, also when the instance has
come to belong to a third: a socket that is closed half-way is the one that Takaro goes on asking.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto, unique

STILL_FOR_S = 10.0
"""A lease whose record has not changed for twice its time to live is dead, whatever that says now: a clock
that was set back makes a lease of hours. After the same time, an announced identify without an answer has
reached Takaro, or never will."""

PATIENCE_S = 1.0
"""How long a free lease is left to the uplink it belongs to."""

WANTED_FOR_S = 3.5
"""The uplink that stands by says so each second, and is gone when so many seconds of looks found nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A lease as the last look found it. `record` changes with each renewal; "": the lease is free.

    `newest`: the socket that Takaro asks is ours. `doubt` names others whose identifies were begun and not
    answered. `wanted` is set by an uplink that stands by for it, `ready`
    when that one has its socket.
    """

    mine: bool
    newest: bool = False
    doubt: str = ""
    record: str = ""
    wanted: bool = False
    ready: bool = False


@unique
class ClaimStep(Enum):
    """What the uplink has to do now."""

    NOTHING = auto()
    BEGIN = auto()  # it is ours: link and pump
    BEGIN_ANEW = auto()  # ... but the socket that we stood by with is not the one that Takaro asks
    STAND_BY = auto()  # it should be ours: say so, and have a socket ready, without the lease
    HAND_OVER = auto()  # the one it belongs to is ready
    LOOK_AFTER_SOCKET = auto()  # Takaro asks the socket of one that is gone
    LOST = auto()  # another owns it


@dataclass(frozen=True, slots=True)
class Claim:
    """What to say at the next renewal: take it if it is free (or if `dead` is still its record); want it.

    `settled` is the doubt that ends with it, because it has stood still for too long.
    """

    take: bool
    want: bool
    dead: str
    settled: str = ""


class Claims:
    """The claim on one instance, from look to look."""

    def __init__(self) -> None:
        self.owner = False
        self.standing_by = False
        self._record: str | None = None  # not looked yet
        self._still_since_s = 0.0
        self._doubt, self._doubt_since_s = "", 0.0
        self._unserved_since_s: float | None = None
        self._handing_over = False

    def next(self, now_s: float, *, ours: bool) -> Claim:
        """The claim to make. `ours`: the instance belongs to this uplink."""
        still_s = now_s - self._still_since_s
        dead = self._record if not self.owner and self._record and still_s > STILL_FOR_S else ""
        patient = self._record == "" and still_s > PATIENCE_S
        take = self.owner or self.standing_by or ours or patient or bool(dead)
        settled = self._doubt if self.owner and now_s - self._doubt_since_s > STILL_FOR_S else ""
        return Claim(take=take, want=self.standing_by and not dead, dead=dead, settled=settled)

    def saw(self, now_s: float, seen: Seen, *, ours: bool, may_move: Callable[[], bool]) -> ClaimStep:
        """What follows from a look. `may_move` is asked before another uplink is asked for the instance."""
        if seen.record != self._record:
            self._record, self._still_since_s = seen.record, now_s
        if seen.doubt != self._doubt:
            self._doubt, self._doubt_since_s = seen.doubt, now_s
        if seen.mine:
            return self._as_owner(now_s, seen)
        if self.owner:
            self._forget()
            return ClaimStep.LOST
        if not self.standing_by and ours and seen.record and may_move():
            self.standing_by = True
            return ClaimStep.STAND_BY
        return ClaimStep.NOTHING

    def _as_owner(self, now_s: float, seen: Seen) -> ClaimStep:
        if not self.owner:
            self._forget()
            self.owner = True
            return ClaimStep.BEGIN if seen.newest else ClaimStep.BEGIN_ANEW
        if self._handing_over:
            return ClaimStep.NOTHING
        if seen.ready:
            self._handing_over = True
            return ClaimStep.HAND_OVER
        if seen.newest or seen.wanted:
            self._unserved_since_s = None
        elif self._unserved_since_s is None:
            self._unserved_since_s = now_s
        elif now_s - self._unserved_since_s > WANTED_FOR_S:
            self._unserved_since_s = now_s
            return ClaimStep.LOOK_AFTER_SOCKET
        return ClaimStep.NOTHING

    def let_go(self, now_s: float) -> None:
        """The lease was given back. It is left to others for a while."""
        self._forget()
        self._record, self._still_since_s = "", now_s

    def _forget(self) -> None:
        self.owner = self.standing_by = self._handing_over = False
        self._unserved_since_s = None
