"""Numbers, times and states as people read them. Pure."""

from services.relay.instances.facts import ServerCause
from services.relay.service.durations import span

CAUSES = {
    ServerCause.NOT_SERVED: "not served",
    ServerCause.NO_TOKEN: "without a registration token",
    ServerCause.NO_OWNER: "without an uplink",
    ServerCause.NEVER_CALLED: "never called",
    ServerCause.SILENT: "silent",
    ServerCause.NOT_LINKED: "not linked",
}
"""Why servers are not up."""


def polls(hold_ms: int) -> str:
    """How long a poll of the mod may be held: meanwhile a command reaches the mod at once."""
    return f"held {hold_ms / 1000:.1f} s" if hold_ms else "not held"


def ago(seconds: float | None) -> str:
    """As in the diagnosis; "just now" for up to 15 s: the text stays the same while a mod calls."""
    if seconds is None:
        return "never"
    return "just now" if seconds < 15 else f"{span(seconds)} ago"


def thousands(number: int) -> str:
    """The number with narrow spaces between its thousands."""
    return f"{number:,}".replace(",", "\u202f")


def counted(number: int, one: str) -> str:
    """The number with its noun: "1 event", "1 200 events"."""
    return f"{thousands(number)} {one}{'s' * (number != 1)}"


def duration(ms: int) -> str:
    """A duration as "12 ms", "1.5 s" or "3 min"."""
    return f"{ms} ms" if ms < 1_000 else f"{ms / 1000:.1f} s" if ms < 120_000 else span(ms / 1000)
