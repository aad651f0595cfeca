"""A finding of the doctor."""

from dataclasses import dataclass
from enum import StrEnum


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


def good(what: str) -> Verdict:
    return Verdict(VerdictLevel.GOOD, what)


def warn(what: str, fix: str = "") -> Verdict:
    return Verdict(VerdictLevel.WARN, what, fix)


def bad(what: str, fix: str = "") -> Verdict:
    return Verdict(VerdictLevel.BAD, what, fix)
