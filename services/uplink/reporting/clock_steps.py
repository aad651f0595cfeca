"""Logs and counts each step of Redis' clock once, however many instances notice it."""

import logging

from services.relay.service.durations import span
from services.relay.service.logs import CHANGE
from services.relay.store.clock import STEP_S, ClockStep
from services.uplink.reporting.metrics import UplinkMetrics

logger = logging.getLogger(__name__)


class ClockSteps:
    """The last step of Redis' clock that an instance of this process has noticed."""

    def __init__(self) -> None:
        self._ahead_s: float | None = None  # Redis' clock minus ours, after the step that was logged last

    def saw(self, step: ClockStep, metrics: UplinkMetrics, now_s: float) -> None:
        """Logs and counts a step that an instance has noticed at `now_s` on boottime_s()."""
        ahead_s, size = step.after_ms / 1000 - now_s, span(abs(step.size_s))
        if self._ahead_s is not None and abs(ahead_s - self._ahead_s) <= STEP_S:
            return  # another instance has noticed it
        self._ahead_s = ahead_s
        direction = "forward" if step.size_s > 0 else "back"
        if step.between_ms is not None:
            logger.warning(
                "Redis' clock was set %s by %s: events keep the age that they have by this machine's clock",
                direction,
                size,
                extra=CHANGE,
            )
        elif step.size_s > 0:
            logger.warning(
                "Redis' clock shows %s more than at its last reading, and this machine cannot tell whether so"
                " much time has passed: events that waited are delivered, but chat and log lines only as long"
                " as they are young by Redis' clock",
                size,
                extra=CHANGE,
            )
            return
        else:
            logger.warning(
                "Redis' clock shows %s less than at its last reading: events that waited are delivered, but"
                " not the chat and log lines among them, for their age is not known",
                size,
                extra=CHANGE,
            )
        metrics.clock_steps.labels(direction).inc()
