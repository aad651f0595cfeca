"""What all instances of one uplink process have in common."""

import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.service.arrivals import Stalls
from services.relay.service.clocks import boottime_s
from services.relay.store.client import Store
from services.uplink.connection.link_times import LINK_TIMES, LinkTimes
from services.uplink.reporting.clock_steps import ClockSteps
from services.uplink.reporting.metrics import UplinkMetrics


@dataclass(frozen=True, slots=True)
class UplinkContext:
    """`turn` waits for a turn to identify; `uplink` is this process by its name in the fleet."""

    takaro_url: str
    store: Store
    metrics: UplinkMetrics
    turn: Callable[[], Awaitable[None]]
    reads_per_s: float
    limits: Limits = DEFAULT_LIMITS
    proxy: str | None = None
    uplink: str = field(default_factory=lambda: f"{socket.gethostname()}-{secrets.token_hex(3)}")
    stalls: Stalls = field(default_factory=lambda: Stalls(boottime_s()))
    clock_steps: ClockSteps = field(default_factory=ClockSteps)
    times: LinkTimes = LINK_TIMES
