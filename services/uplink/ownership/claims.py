"""Decides what an uplink does about the lease of one instance, by what each renewal of the lease finds. Pure.

An instance moves without an interruption: the uplink that it belongs to writes into the lease that it stands
by, then dials. Only when it has an identified socket, the owner hands over (protocol.md T3: Takaro takes
events from both sockets of one identity, and asks the newest). An uplink that has begun a move finishes it,
even if the instance belongs to a third one by then: otherwise Takaro would go on asking a closed socket.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto, unique

from services.relay.store.lease_renewal import LeaseRenewal

STILL_FOR_S = 10.0
"""A lease whose record has not changed for twice its time to live counts as free, whatever its time to live
says: after Redis' clock was set back, that may be hours. After the same time, an announced identify without
an answer has reached Takaro, or never will."""

PATIENCE_S = 0.8
"""Time for which a free lease is left to the uplink that the instance belongs to. The renewals are a
second apart, and a reply takes its time: with 1 s, the second one after the lease's end came too early."""

WANTED_FOR_S = 3.5  # an uplink that wants a lease says so each second; without that for this time it is gone


@unique
class ClaimState(Enum):
    """What this uplink does about the instance."""

    WATCHING = auto()
    STANDING_BY = auto()  # it has, or gets, a socket for when the owner lets go
    OWNER = auto()
    HANDING_OVER = auto()  # it still owns the instance, and is about to release the lease
    STOPPED = auto()  # it is done with the instance


@unique
class LeaseFinding(Enum):
    """What a renewal finds, as far as it matters in the state."""

    OTHERS = auto()  # the lease is free or held by another uplink
    MOVABLE = auto()  # the same, but the instance belongs to this uplink and may move now
    ASKED = auto()  # the lease is ours, and Takaro asks our socket
    UNASKED = auto()  # the lease is ours, and Takaro may ask another socket
    UNASKED_FOR_LONG = auto()  # the same for WANTED_FOR_S, and no uplink stands by
    READY = auto()  # the lease is ours, and the uplink that stands by has its socket


@unique
class ClaimStep(Enum):
    """What the uplink has to do now. For BEGIN and STAND_BY a link is enough (InstanceOwner._renew)."""

    NOTHING = auto()
    BEGIN = auto()  # the lease is ours: link the instance and send its events
    BEGIN_ANEW = auto()  # the same, but Takaro does not ask the socket that we stood by with
    STAND_BY = auto()  # get a socket ready, without the lease
    HAND_OVER = auto()  # release the lease and leave the socket
    REPLACE_SOCKET = auto()  # replace the socket: Takaro asks one of an uplink that is gone
    LOST = auto()  # another uplink owns the instance


MOVES: dict[ClaimState, dict[LeaseFinding, tuple[ClaimState, ClaimStep]]] = {
    ClaimState.WATCHING: {
        LeaseFinding.OTHERS: (ClaimState.WATCHING, ClaimStep.NOTHING),
        LeaseFinding.MOVABLE: (ClaimState.STANDING_BY, ClaimStep.STAND_BY),
        LeaseFinding.ASKED: (ClaimState.OWNER, ClaimStep.BEGIN),
        LeaseFinding.UNASKED: (ClaimState.OWNER, ClaimStep.BEGIN_ANEW),
    },
    ClaimState.STANDING_BY: {
        LeaseFinding.OTHERS: (ClaimState.STANDING_BY, ClaimStep.NOTHING),
        LeaseFinding.ASKED: (ClaimState.OWNER, ClaimStep.BEGIN),
        LeaseFinding.UNASKED: (ClaimState.OWNER, ClaimStep.BEGIN_ANEW),
    },
    ClaimState.OWNER: {
        LeaseFinding.OTHERS: (ClaimState.WATCHING, ClaimStep.LOST),
        LeaseFinding.ASKED: (ClaimState.OWNER, ClaimStep.NOTHING),
        LeaseFinding.UNASKED: (ClaimState.OWNER, ClaimStep.NOTHING),
        LeaseFinding.UNASKED_FOR_LONG: (ClaimState.OWNER, ClaimStep.REPLACE_SOCKET),
        LeaseFinding.READY: (ClaimState.HANDING_OVER, ClaimStep.HAND_OVER),
    },
    ClaimState.HANDING_OVER: {
        LeaseFinding.OTHERS: (ClaimState.WATCHING, ClaimStep.LOST),
        LeaseFinding.ASKED: (ClaimState.HANDING_OVER, ClaimStep.NOTHING),
        LeaseFinding.UNASKED: (ClaimState.HANDING_OVER, ClaimStep.NOTHING),
    },
    ClaimState.STOPPED: {  # after a renewal that had begun before
        LeaseFinding.OTHERS: (ClaimState.STOPPED, ClaimStep.NOTHING),
        LeaseFinding.ASKED: (ClaimState.STOPPED, ClaimStep.NOTHING),
        LeaseFinding.UNASKED: (ClaimState.STOPPED, ClaimStep.NOTHING),
    },
}


@dataclass(frozen=True, slots=True)
class RenewalArgs:
    """What to ask for at the next renewal."""

    take: bool  # take the lease if it is free or its record is still `dead`
    want: bool  # write that this uplink stands by
    dead: str
    ended_identifies: str = ""  # open ones of other uplinks: over, for they have not changed for STILL_FOR_S


@dataclass(slots=True)
class Claim:
    """The claim of this uplink on one instance, from renewal to renewal."""

    still_for_s: float = STILL_FOR_S
    wanted_for_s: float = WANTED_FOR_S
    state: ClaimState = ClaimState.WATCHING
    _record: str | None = None  # None: not read yet
    _still_since_s: float = 0.0
    _open_identifies: str = ""
    _open_since_s: float = 0.0
    _unasked_since_s: float | None = None

    @property
    def owner(self) -> bool:
        return self.state in (ClaimState.OWNER, ClaimState.HANDING_OVER)

    def next_renewal(self, now_s: float, *, preferred: bool) -> RenewalArgs:
        """What to ask for now. `preferred`: the instance belongs to this uplink."""
        stands_by = self.state is ClaimState.STANDING_BY
        still_s, dead, ended = now_s - self._still_since_s, "", ""
        if self.owner and now_s - self._open_since_s > self.still_for_s:
            ended = self._open_identifies
        elif not self.owner and still_s > self.still_for_s:
            dead = self._record or ""
        patient = self._record == "" and still_s > PATIENCE_S
        take = self.owner or stands_by or preferred or patient or bool(dead)
        return RenewalArgs(take, want=stands_by and not dead, dead=dead, ended_identifies=ended)

    def renewed(
        self, now_s: float, renewal: LeaseRenewal, *, preferred: bool, may_move: Callable[[], bool]
    ) -> ClaimStep:
        """The step after a renewal. `may_move` is called before an instance of another uplink is wanted."""
        if renewal.record != self._record:
            self._record, self._still_since_s = renewal.record, now_s
        if renewal.open_identifies != self._open_identifies:
            self._open_identifies, self._open_since_s = renewal.open_identifies, now_s
        if renewal.mine:
            found = self._found_mine(now_s, renewal)
        else:
            movable = self.state is ClaimState.WATCHING and preferred and renewal.record and may_move()
            found = LeaseFinding.MOVABLE if movable else LeaseFinding.OTHERS
        before = self.state
        self.state, step = MOVES[before][found]
        if self.state is not before:
            self._unasked_since_s = None
        return step

    def _found_mine(self, now_s: float, renewal: LeaseRenewal) -> LeaseFinding:
        if self.state is not ClaimState.OWNER:
            return LeaseFinding.ASKED if renewal.newest else LeaseFinding.UNASKED
        if renewal.wanted == "ready":
            return LeaseFinding.READY
        if renewal.newest or renewal.wanted:
            self._unasked_since_s = None
            return LeaseFinding.ASKED
        if self._unasked_since_s is None:
            self._unasked_since_s = now_s
        if now_s - self._unasked_since_s <= self.wanted_for_s:
            return LeaseFinding.UNASKED
        self._unasked_since_s = now_s
        return LeaseFinding.UNASKED_FOR_LONG

    def let_go(self, now_s: float) -> None:
        """The lease was released. It is left to other uplinks for PATIENCE_S."""
        if self.state is not ClaimState.STOPPED:
            self.state = ClaimState.WATCHING
        self._unasked_since_s = None
        self._record, self._still_since_s = "", now_s

    def stop(self) -> None:
        """Ends the claim: no renewal follows."""
        self.state = ClaimState.STOPPED
