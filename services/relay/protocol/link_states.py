"""The states of the link to Takaro, as uplink writes them down and all others read them. Pure.

Which moves there are is uplink's matter (uplink/connection/states.py).
"""

from enum import StrEnum, unique


@unique
class LinkState(StrEnum):
    """Where the link of one instance stands. The value is what people see in logs, metrics and /health.

    What is read from Redis is compared as a text: "" is no link yet, and a newer uplink may know more.
    """

    WAITING = "waiting"  # between two attempts
    CONNECTING = "connecting"
    IDENTIFYING = "identifying"  # the socket is open; an event now would kill it
    READY = "ready"  # events flow
    PAUSED = "paused"  # Takaro has lost our server; the socket stays, events wait for the next identify
    REFUSED = "refused"  # a person has to act; asked again slowly
    STOPPED = "stopped"
