"""Redis' clock: what time does it show now, and how old is a moment that it has dated?

Replies of scripts hold the time, so it is seldom asked for by itself. Two classes answer the two questions:

- StoreClock knows how far ahead of ours it is, for deadlines in scripts. There is one for each primary.
- SteppedClock knows ages, across steps of Redis' clock. There is one for each lease.

Pure. A wall clock can be set: then the difference of two readings is not the time that passed. So each
reading is compared with a clock of ours that is never set. Where they disagree, Redis' clock was set, and an
age across that step leaves the step out. An age is an interval, because not all of it can be known.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import orjson

PROMPT_S = 0.1  # a reply that took longer is too inexact for StoreClock

OLD_S = 10.0  # StoreClock believes a reply for so long: a failover leads to another clock, or a clock is set

SLOW_S = 1.0  # a reply that took longer is too inexact for SteppedClock

STEP_S = 2.0  # two readings disagree by up to SLOW_S without any step; smaller steps are followed as drift

DRIFT = 0.000_5  # what the clock of a machine may gain or lose: NTP slews by no more than this

BELIEVED_S = 60.0
"""If the last reading was noted by another machine, or before this one was booted, our own clock cannot check
Redis' clock. Then Redis' clock is believed if it has gone on by no more than this."""

MAX_STEPS = 32

_SLACK_MS = STEP_S * 1000


class StoreClock:
    """How far Redis' clock is ahead of time.monotonic(), to within PROMPT_S (Store.redis_us). A slower reply
    is believed only while there is no other. Then the error is as great as its delay."""

    def __init__(self) -> None:
        self.least_ahead_us = 0
        self.most_ahead_us = 0
        self.known_until_s = -math.inf  # until when the last reply is believed, on time.monotonic()

    def observe(self, redis_us: int, asked_s: float, now_s: float, within_us: int = 0) -> None:
        """Takes in a reply, asked for at `asked_s` and here at `now_s`: Redis showed `redis_us`, or up to
        `within_us` more."""
        if now_s - asked_s < PROMPT_S or now_s >= self.known_until_s:
            self.least_ahead_us = redis_us - int(now_s * 1_000_000)
            self.most_ahead_us = redis_us + within_us - int(asked_s * 1_000_000)
            self.known_until_s = now_s + OLD_S


def moment_ms(moment_s: float, redis_us: int, asked_s: float, now_s: float, not_before_ms: int) -> int:
    """A moment of time.monotonic() on Redis' clock, which showed `redis_us` between `asked_s` and `now_s`:
    early by at most the time of the reply, and not before `not_before_ms`, unless the clock was set back.
    Rounded only once: two roundings put writes that were a millisecond apart in the opposite order."""
    earliest_us = redis_us + math.floor((moment_s - now_s) * 1_000_000)
    latest_us = redis_us + math.ceil((moment_s - asked_s) * 1_000_000)
    return min(max(earliest_us // 1000, not_before_ms), latest_us // 1000)


class ClockStep(NamedTuple):
    """Two readings of Redis' clock, one after the other, between which it was set."""

    before_ms: int
    after_ms: int
    between_ms: int | None  # passed between them on a clock that is never set; None: this is not known

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


def age_of(
    steps: Sequence[ClockStep], now_ms: float, at_ms: float, *, behind: bool | None = None
) -> AgeRange:
    """How long ago Redis' clock showed `at_ms`, if it made these steps and shows `now_ms` now. `behind`: the
    clock had shown more than `at_ms` by then, so that is from after a step back. None: this is not known."""
    ages = []  # for each span between steps that may have shown it: the highest reading before, and its ages
    # The clock showed `read_ms` in a span, between `least_ms` and `most_ms` ago. The span ended at least
    # `ended_ms` ago.
    least_ms = most_ms = ended_ms = 0.0
    read_ms = last_ms = now_ms
    for number in range(len(steps), -1, -1):  # the newest span first
        first_ms = steps[number - 1].earliest_after_ms if number else -math.inf
        if first_ms - _SLACK_MS <= at_ms <= last_ms + _SLACK_MS:
            highest_ms = max((step.latest_before_ms for step in steps[:number]), default=-math.inf)
            before_ms = read_ms - at_ms
            ages.append((highest_ms, max(ended_ms, least_ms + before_ms), max(ended_ms, most_ms + before_ms)))
        if number:
            step = steps[number - 1]
            lasted_ms = read_ms - step.after_ms
            ended_ms = least_ms + lasted_ms
            least_ms += lasted_ms + (step.between_ms or 0)
            most_ms += lasted_ms + step.longest_between_ms
            read_ms, last_ms = step.before_ms, step.latest_before_ms
    if behind:
        ages = [age for age in ages if age[0] + _SLACK_MS >= at_ms] or ages
    elif behind is False:
        ages = [age for age in ages if age[0] - _SLACK_MS <= at_ms] or ages
    if not ages:
        return UNKNOWN
    return AgeRange(min(least for _, least, _ in ages) / 1000, max(most for *_, most in ages) / 1000)


class SteppedClock:
    """Redis' clock, known by its readings, and the steps in which it was set. `boot` names the boot since
    which our own clock counts; "": not known."""

    def __init__(self, boot: str) -> None:
        self.read_s = -math.inf  # when it was read last, on our clock
        self.loaded = False
        self._boot = boot
        self._steps: tuple[ClockStep, ...] = ()
        self._read: tuple[int, float] | None = None  # what it showed, and when by our clock
        self._elsewhere = False  # whether `_read` was noted by a clock that is not ours
        self._took_s = 0.0  # how long that reading was on its way
        self._stored_s = -math.inf  # when `due_dump` last returned a text
        self._has_new_step = False  # whether a step was found since then

    def observe(self, store_ms: int, asked_s: float, now_s: float) -> ClockStep | None:
        """Takes in a reading: Redis' clock showed `store_ms` between `asked_s` and `now_s` on our clock.
        Returns the step that it has made since the reading before."""
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
        self.read_s = asked_s
        if step:
            self._steps, self._has_new_step = (*self._steps, step)[-MAX_STEPS:], True
        return step

    @property
    def set_forward_ms(self) -> int:
        """How far Redis' clock was set forward, in all steps that are known."""
        return round(sum(max(0.0, step.size_s) for step in self._steps) * 1000)

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
        now_ms = read_ms + (now_s - read_s) * 1000
        if self._steps or at_ms > now_ms:
            return age_of(self._steps, now_ms, at_ms, behind=behind)
        age_s = (now_ms - at_ms) / 1000  # as `age_of` has it, at a tenth of the cost
        return AgeRange(age_s, age_s)

    def due_dump(self, now_s: float, every_s: float | None) -> bytes:
        """What to store in Redis now: `dump`, every `every_s` (None: only a step); b"": nothing. A step is
        stored at once: to a process that starts later, two opposite steps could look like none."""
        if not self._has_new_step and (every_s is None or now_s - self._stored_s < every_s):
            return b""
        self._stored_s, self._has_new_step = now_s, False
        return self.dump()

    def dump(self) -> bytes:
        """The last reading and the steps, for the process that goes on from here."""
        steps = [list(step) for step in self._steps]
        return orjson.dumps({"boot": self._boot, "read": self._read, "steps": steps})

    def load(self, stored: bytes, stored_s: float = -math.inf) -> None:
        """Goes on, once and before the first reading, from what `dump` returned, and ignores what it cannot
        read. `stored_s`: as if it had been stored then, on our clock."""
        if self.loaded:
            return
        self.loaded, self._stored_s = True, stored_s
        try:
            known = orjson.loads(stored)
            read_ms, read_s = known["read"]
            steps = tuple(
                ClockStep(int(before_ms), int(after_ms), None if between_ms is None else int(between_ms))
                for before_ms, after_ms, between_ms in known["steps"]
            )
        except (ValueError, TypeError, KeyError, IndexError):
            return
        self._read, self._steps = (int(read_ms), float(read_s)), steps
        self._elsewhere = not self._boot or known.get("boot") != self._boot
