"""The states of the link to Takaro. uplink writes them to Redis, all others read them. Pure.

The moves between them are in uplink/connection/states.py.
"""

from enum import StrEnum, unique


@unique
class LinkState(StrEnum):
    """The state of the link of one instance. People see the value in logs, metrics and /health.

    Read from Redis it stays a text: "" means no link yet, and a newer uplink may have more states.
    """

    WAITING = "waiting"  # between two attempts
    CONNECTING = "connecting"
    IDENTIFYING = "identifying"  # the socket is open; an event now would kill it
    READY = "ready"  # events flow
    PAUSED = "paused"  # Takaro does not know our server any more; events wait for the next identify
    REFUSED = "refused"  # a person has to act; we try again slowly
    STOPPED = "stopped"


def link_word(state: str) -> str:
    """The state of a link in words for people; "" is none yet."""
    return {LinkState.READY.value: "linked", "": "no link yet"}.get(state, state)
