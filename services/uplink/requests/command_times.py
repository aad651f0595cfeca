"""The times of a command for the mod and of its result. A test gives others."""

from dataclasses import dataclass

from services.relay.protocol.vocabulary import ANSWER_WITHIN_S, HAND_OUT_WITHIN_S
from services.relay.store.command_stream import KEEP_MS


@dataclass(frozen=True, slots=True)
class CommandTimes:
    """When a command is given up, and when results are read and deleted."""

    hand_out_within_s: float = HAND_OUT_WITHIN_S
    answer_within_s: float = ANSWER_WITHIN_S
    give_up_within_s: float = 0.7
    """The rest of Takaro's 10 s after `answer_within_s`, less the time that the answer needs."""
    read_within_s: float = 0.2
    """Time to read a result that arrived at the last moment."""
    look_again_s: float = 0.25
    """Interval of reading results without the lease: only the owner's renewals make up for a lost hint."""
    read_refreshes_every_s: float = 0.25
    """Results of refreshes are read together, for all instances at the same moments."""
    picked_up_within_s: float = 10.0
    """A result that no request has received by then is deleted: Takaro has given the request up."""
    kept_s: float = KEEP_MS / 1000
    """After this time without results their stream may have expired, and begun anew with lower ids."""


COMMAND_TIMES = CommandTimes()
