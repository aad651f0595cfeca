"""Ages by a clock of Redis that was never set."""

from services.relay.instances.records import AgeS


def ages_at(now_ms: float) -> AgeS:
    """Gives the age of a date of Redis' clock, at the time `now_ms` of that clock."""
    return lambda at_ms, behind: (now_ms - at_ms) / 1000


just_now: AgeS = ages_at(0)
"""For what is dated 0."""
