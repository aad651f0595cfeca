"""The times of a link. A test gives others."""

from dataclasses import dataclass

from services.relay.service.faults import BEGIN_AGAIN_S
from services.uplink.connection.backoff import IDENTIFY_AGAIN, RECONNECT, REFUSED, Delays


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """When a link tries again, gives something up, or replaces its socket."""

    reconnect: Delays = RECONNECT
    refused: Delays = REFUSED
    identify_again: Delays = IDENTIFY_AGAIN
    look_every_s: float = 5.0
    """Interval of looking whether the socket in use is to be replaced."""
    identified_within_s: float = 15.0
    keep_alive_s: float = 45.0
    """After 60 s without an event Takaro makes a new emitter and loses events meanwhile (protocol.md T11)."""
    receipt_within_s: float = 10.0
    drain_within_s: float = 2.5
    """How long to wait for the receipts of sent events: two pongs, 100 ms (events/receipts.py), and Redis."""
    begin_again_s: float = BEGIN_AGAIN_S
    """Delay after a fault of the program in the delivery."""
    replace_after_requests: int = 3_000
    """Each request leaves a listener on the socket at Takaro's end: 1 ms for every frame after 1,000
    (protocol.md T3)."""
    replace_after_s: float = 6 * 3600.0
    quiet_after_s: float = 100.0
    """Three rounds of Takaro's requests are missing after this time (other_client.py)."""


LINK_TIMES = LinkTimes()
