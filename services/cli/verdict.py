"""A finding of the doctor."""

from dataclasses import dataclass
from enum import StrEnum
from functools import partial


class VerdictLevel(StrEnum):
    GOOD = "ok"
    WARN = "note"
    BAD = "problem"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`fix` names the setting or the command; "" if `what` says it, or nothing has to be done."""

    level: VerdictLevel
    what: str
    fix: str = ""


good = partial(Verdict, VerdictLevel.GOOD)
warn = partial(Verdict, VerdictLevel.WARN)
bad = partial(Verdict, VerdictLevel.BAD)
