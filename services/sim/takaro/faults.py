"""How the simulated Takaro misbehaves: settable at any time, for all or for one identity."""

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any, Final

from services.sim.takaro.rules import by_status, in_words

EMPTY: Final = ""
"""Refuse an identify with an empty `error` object: how a transient fault looks (protocol.md T2)."""


@dataclass(slots=True)
class SimFaults:
    silent: bool = False
    """An identify is never answered."""

    identify_delay_s: float = 0.0
    """How much later than usual an identify takes effect, also when its socket is gone by then."""

    kill_early: bool = False
    """The socket is torn: on accept when set for all, on its identify when set for one identity."""

    error_delay_s: float = 0.0
    """How much later than usual error frames come. The second of two pings waits for them all the same."""

    pongs_overtake: bool = False
    """No pong waits for an error, not even the second of two: a Takaro that protocol.md T7 does not know."""

    refusal: dict[str, Any] | None = None
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    _refusals: float = 0.0
    _internal_errors: float = 0.0

    def __post_init__(self) -> None:
        self.reading.set()

    def stop_reading(self) -> None:
        """Look at no frame until `resume_reading()`; frames pile up in the buffers meanwhile."""
        self.reading.clear()

    def resume_reading(self) -> None:
        self.reading.set()

    def refuse_identify(self, text: str = EMPTY, times: int | None = None) -> None:
        """Refuse the next `times` identifies with `text`, or all of them until `accept_identify()`."""
        self._refuse(in_words(text), times)

    def refuse_by_status(self, status: int, times: int | None = None) -> None:
        """The same, as if Takaro's API had answered with this HTTP status: 400, 409, 502."""
        self._refuse(by_status(status), times)

    def _refuse(self, error: dict[str, Any], times: int | None) -> None:
        self.refusal = error
        self._refusals = math.inf if times is None else times

    def accept_identify(self) -> None:
        self.refusal = None

    def internal_errors(self, times: int | None = None) -> None:
        """Answer the next `times` events with an internal error, or all until the next identify."""
        self._internal_errors = math.inf if times is None else times

    def take_refusal(self) -> dict[str, Any] | None:
        """The error to refuse this identify with, None to let it pass."""
        if self.refusal is None or self._refusals < 1:
            return None
        self._refusals -= 1
        return self.refusal

    def take_internal_error(self) -> bool:
        if self._internal_errors < 1:
            return False
        self._internal_errors -= 1
        return True

    def identified(self) -> None:
        if self._internal_errors == math.inf:
            self._internal_errors = 0
