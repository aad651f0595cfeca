"""The moments by which open requests are answered before an instance's sockets close. Pure.

A socket closes when its uplink stops, when the instance moves, is changed or removed, or when the lease is
lost. Before that, each open request is answered: with the result if it comes in time, with "not delivered"
once no poll can fetch the command any more, else with "it may have run".
"""

from dataclasses import dataclass

from services.relay.protocol.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S

STOP_WITHIN_S = 8.0  # an uplink that stops closes all its sockets by then; `docker stop` kills it after 10 s

LEAVE_WITHIN_S = 11.0
"""Time limit to close a socket while its uplink goes on: Takaro may ask on it for one second more, and waits
10 s for each answer."""

LAST_ANSWERS_S = 0.2  # open requests are answered this long before the end: so the answers are still written

END_KNOWN_WITHIN_S = 1.0  # time before that, to ask Redis how far a command came

RUN_WITHIN_S = ANSWER_WITHIN_S - HAND_OUT_WITHIN_S  # for the mod to run what it has fetched, and to post it

POLLS_WITHIN_S = 20.0
"""A mod that has been silent for this long does not poll: polls are held for 8 s at most, are 2 s apart, and
the last contact is known to within 6 s."""


@dataclass(frozen=True, slots=True)
class ClosingTimes:
    """Moments on time.monotonic(), in the order in which they come, and what is done then."""

    refused_from_s: float  # new requests that the mod would have to answer are refused from now on
    fetched_by_s: float  # commands that no poll has fetched are given up
    answered_by_s: float  # all others are given up
    cut_short_s: float  # requests that are still open are answered with what is known
    closed_by_s: float  # the socket is closed


def closing_times(now_s: float, closed_by_s: float, *, mod_polls: bool, has_successor: bool) -> ClosingTimes:
    """The moments for sockets that must be closed at `closed_by_s`. `has_successor`: Takaro will soon ask
    another socket, so new requests are few and need not be refused."""
    cut_short_s = max(now_s, closed_by_s - LAST_ANSWERS_S)
    answered_by_s = max(now_s, cut_short_s - END_KNOWN_WITHIN_S)
    fetched_by_s = max(now_s, answered_by_s - RUN_WITHIN_S) if mod_polls else now_s
    return ClosingTimes(
        refused_from_s=fetched_by_s if has_successor else now_s,
        fetched_by_s=fetched_by_s,
        answered_by_s=answered_by_s,
        cut_short_s=cut_short_s,
        closed_by_s=max(now_s, closed_by_s),
    )


def polls_soon(silent_s: float | None) -> bool:
    """Whether a mod that has been silent for this time (None: it has never called) may soon poll."""
    return silent_s is not None and silent_s < POLLS_WITHIN_S
