"""When an instance's sockets are left: by which moments its open requests are answered. Pure.

A socket is left when its uplink stops, when the instance moves, is changed or removed, or when the lease is
lost. Takaro hears of each open request before that socket is closed: the result if it
comes in time; "not delivered" once no poll can fetch the command any more; else "it may have run".
"""

from dataclasses import dataclass

from services.relay.protocol.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S

STOP_WITHIN_S = 8.0
"""Time in which an uplink that is told to stop closes all its sockets. `docker stop` kills after 10 s."""

ANSWERED_WITHIN_S = 11.0
"""Time for a socket that is left while the uplink goes on: Takaro may ask there for a second more, and waits
10 s for each answer."""

LAST_WORDS_S = 0.2
"""What is still open this long before the end is answered with what is known, so that the answer gets out."""

FATE_WITHIN_S = 1.0
"""Time to ask Redis how far a command came, before that."""

RUN_WITHIN_S = ANSWER_WITHIN_S - HAND_OUT_WITHIN_S
"""Time that a mod needs to run what it has fetched, and to post the result."""

POLLS_WITHIN_S = 20.0
"""A mod that was not heard of for this long does not poll: polls are held 8 s at most, are 2 s apart, and the
last contact is known to within 6 s."""


@dataclass(frozen=True, slots=True)
class ClosingTimes:
    """Moments on time.monotonic(), in the order in which they come.

    From `refused_from_s` on new requests that the mod would have to answer are refused. At `fetched_by_s`
    commands that no poll has fetched are given up, at `answered_by_s` those that were. At `cut_short_s`
    whatever is still open is answered with what is known, and at `closed_by_s` the socket is closed.
    """

    refused_from_s: float
    fetched_by_s: float
    answered_by_s: float
    cut_short_s: float
    closed_by_s: float


def closing_times(now_s: float, closed_by_s: float, *, mod_polls: bool, has_successor: bool) -> ClosingTimes:
    """How to leave sockets that must be closed at `closed_by_s`.

    `has_successor`: Takaro will soon ask another socket; new requests are few and need not be refused.
    """
    cut_short_s = max(now_s, closed_by_s - LAST_WORDS_S)
    answered_by_s = max(now_s, cut_short_s - FATE_WITHIN_S)
    fetched_by_s = max(now_s, answered_by_s - RUN_WITHIN_S) if mod_polls else now_s
    return ClosingTimes(
        refused_from_s=fetched_by_s if has_successor else now_s,
        fetched_by_s=fetched_by_s,
        answered_by_s=answered_by_s,
        cut_short_s=cut_short_s,
        closed_by_s=max(now_s, closed_by_s),
    )


def polls(silent_s: float | None) -> bool:
    """May a mod that has been silent for so long (None: it was never heard of) fetch a command soon?"""
    return silent_s is not None and silent_s < POLLS_WITHIN_S
