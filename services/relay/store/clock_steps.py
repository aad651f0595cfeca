"""Ages of what Redis' wall clock has dated, across steps of that clock. Pure.

A wall clock can be set forward and back. After that, the difference of two of its readings is not the time
that passed. So each reading is compared with a clock of ours that is never set. Where the two disagree,
Redis' clock was set, and the age of anything dated before that step leaves the step out. An age is an
interval, for not all of it can be known.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson

SLOW_S = 1.0
"""A reply that took longer says too little about the moment at which the clock was read."""

STEP_S = 2.0
"""Two readings disagree by up to SLOW_S without any step; smaller steps are followed as drift."""

DRIFT = 0.000_5
"""What the clock of a machine may gain or lose: NTP slews by no more than this."""

BELIEVED_S = 60.0
"""If the last reading was noted by another machine, or before this one was booted, our own clock cannot check
Redis' clock. Then Redis' clock is believed if it has gone on by no more than this."""

MAX_STEPS = 32

_SLACK_MS = STEP_S * 1000


class ClockStep(NamedTuple):
    """Two readings of Redis' clock, one after the other, between which it was set.

    `between_ms` passed between them on a clock that is never set; None: this is not known.
    """

    before_ms: int
    after_ms: int
    between_ms: int | None

    @property
    def size_s(self) -> float:
        """How far the clock was set, forward or (negative) back."""
        return (self.after_ms - self.before_ms - (self.between_ms or 0)) / 1000

    @property
    def longest_between_ms(self) -> float:
        if self.between_ms is not None:
            return self.between_ms
        moved_ms = self.after_ms - self.before_ms
        return moved_ms if moved_ms >= 0 else math.inf

    @property
    def latest_before_ms(self) -> float:
        """The most that the clock can have shown before it was set."""
        return math.inf if self.between_ms is None else self.before_ms + self.between_ms

    @property
    def earliest_after_ms(self) -> float:
        """The least that it can have shown after it was set."""
        return -math.inf if self.between_ms is None else self.after_ms - self.between_ms


class AgeRange(NamedTuple):
    """The least and the most that an age can be; `most_s` may be infinite."""

    least_s: float
    most_s: float

    def at_most(self, most_s: float) -> "AgeRange":
        """The same age, if it is also known to be no more than this."""
        return AgeRange(min(self.least_s, most_s), min(self.most_s, most_s))


UNKNOWN = AgeRange(0.0, math.inf)


class _Part(NamedTuple):
    """A span of time in which the clock was not set.

    Readings from `first_ms` to `last_ms` may be of it. The clock showed `read_ms` in it, and that was between
    `least_ms` and `most_ms` ago. It ended at least `ended_ms` ago. `back_from_ms` is the highest reading
    before any of the steps that precede it.
    """

    first_ms: float
    last_ms: float
    read_ms: float
    least_ms: float
    most_ms: float
    ended_ms: float
    back_from_ms: float


def age_of(
    steps: Sequence[ClockStep], now_ms: float, at_ms: float, *, behind: bool | None = None
) -> AgeRange:
    """How long ago Redis' clock showed `at_ms`, if it made these steps and shows `now_ms`.

    `behind`: whether the clock had already shown more than `at_ms`, so that `at_ms` is from after a step
    back. None: this is not known.
    """
    parts = [
        part
        for part in _parts(steps, now_ms)
        if part.first_ms - _SLACK_MS <= at_ms <= part.last_ms + _SLACK_MS
    ]
    if behind:
        parts = [part for part in parts if part.back_from_ms + _SLACK_MS >= at_ms] or parts
    elif behind is False:
        parts = [part for part in parts if part.back_from_ms - _SLACK_MS <= at_ms] or parts
    if not parts:
        return UNKNOWN
    least_ms = min(max(part.ended_ms, part.least_ms + part.read_ms - at_ms) for part in parts)
    most_ms = max(max(part.ended_ms, part.most_ms + part.read_ms - at_ms) for part in parts)
    return AgeRange(least_ms / 1000, most_ms / 1000)


def _parts(steps: Sequence[ClockStep], now_ms: float) -> Iterator[_Part]:
    """The newest one first."""
    least_ms = most_ms = ended_ms = 0.0
    read_ms = last_ms = now_ms
    for number in range(len(steps), -1, -1):
        first_ms = steps[number - 1].earliest_after_ms if number else -math.inf
        back_from_ms = max((step.latest_before_ms for step in steps[:number]), default=-math.inf)
        yield _Part(first_ms, last_ms, read_ms, least_ms, most_ms, ended_ms, back_from_ms)
        if number:
            step = steps[number - 1]
            lasted_ms = read_ms - step.after_ms
            ended_ms = least_ms + lasted_ms
            least_ms += lasted_ms + (step.between_ms or 0)
            most_ms += lasted_ms + step.longest_between_ms
            read_ms, last_ms = step.before_ms, step.latest_before_ms


class SteppedClock:
    """Redis' clock, known by its readings.

    `boot` names the boot since which our own clock counts; "": not known.
    """

    def __init__(self, boot: str) -> None:
        self._boot = boot
        self._steps: tuple[ClockStep, ...] = ()
        self._read: tuple[int, float] | None = None  # what it showed, and when by our clock
        self._elsewhere = False  # when: by a clock that is not ours
        self._took_s = 0.0  # how long that reading was on its way

    def told(self, store_ms: int, asked_s: float, now_s: float) -> ClockStep | None:
        """Takes in a reading: Redis' clock showed `store_ms` between `asked_s` and `now_s` on our clock.

        Returns the step that the clock has made since the reading before.
        """
        step = None
        if self._read is not None:
            if now_s - asked_s > SLOW_S:
                return None
            before_ms, before_s = self._read
            if self._elsewhere:
                if not 0 <= store_ms - before_ms <= BELIEVED_S * 1000:
                    step = ClockStep(before_ms, store_ms, None)
            else:
                passed_s = max(0.0, asked_s - before_s)
                off_s = abs((store_ms - before_ms) / 1000 - passed_s)
                if off_s > STEP_S + self._took_s + DRIFT * passed_s:
                    step = ClockStep(before_ms, store_ms, round(passed_s * 1000))
        self._read, self._elsewhere, self._took_s = (store_ms, asked_s), False, now_s - asked_s
        if step:
            self._steps = (*self._steps, step)[-MAX_STEPS:]
        return step

    @property
    def read_s(self) -> float:
        """When it was read last, on our clock."""
        return self._read[1] if self._read and not self._elsewhere else -math.inf

    def behind(self, store_ms: float) -> bool | None:
        """Whether Redis' clock had shown more than `store_ms` before, if it shows that now. None: this is not
        known."""
        if any(step.between_ms is None for step in self._steps):
            return None
        return any(step.latest_before_ms > store_ms for step in self._steps)

    def age(self, at_ms: float, now_s: float, *, behind: bool | None = None) -> AgeRange:
        """How long ago, at `now_s` on our clock, Redis' clock showed `at_ms` (see `age_of`)."""
        if self._read is None:
            return UNKNOWN
        read_ms, read_s = self._read
        return age_of(self._steps, read_ms + (now_s - read_s) * 1000, at_ms, behind=behind)

    def noted(self) -> bytes:
        """The last reading and the steps, for the process that goes on from here."""
        steps = [list(step) for step in self._steps]
        return orjson.dumps({"boot": self._boot, "read": self._read, "steps": steps})

    def recall(self, noted: bytes) -> None:
        """Goes on from what `noted` returned, and ignores what it cannot read.

        To be called before the first reading.
        """
        try:
            known = orjson.loads(noted)
            read_ms, read_s = known["read"]
            steps = tuple(
                ClockStep(int(before_ms), int(after_ms), None if between_ms is None else int(between_ms))
                for before_ms, after_ms, between_ms in known["steps"]
            )
        except (ValueError, TypeError, KeyError, IndexError):
            return
        self._read, self._steps = (int(read_ms), float(read_s)), steps
        self._elsewhere = not self._boot or known.get("boot") != self._boot
