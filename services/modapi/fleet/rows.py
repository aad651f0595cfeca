"""One server with all that is known of it, and its state in a word. Pure."""

from collections.abc import Sequence
from enum import IntEnum, unique
from typing import NamedTuple

from services.relay.instances.diagnosis import Problem
from services.relay.instances.entries import ServedEntry
from services.relay.instances.facts import Facts
from services.relay.instances.server_state import ServerState, server_state


@unique
class Level(IntEnum):
    """How a server is; the worst first."""

    BAD = 0
    WARN = 1
    GOOD = 2
    OFF = 3


LEVEL_WORDS = {Level.BAD: "down", Level.WARN: "attention", Level.GOOD: "up", Level.OFF: "off"}


class ServerRow(NamedTuple):
    """One server with all that is known of it. The worst of its `problems` is the first."""

    entry: ServedEntry
    facts: Facts
    problems: list[Problem]
    level: Level

    @property
    def cause(self) -> ServerState | None:
        """Why it is not up; None for a server that is up, disabled or not served."""
        if not self.entry.active:
            return None
        has_token = self.entry.instance.registration_token is not None
        found = server_state(self.facts, has_token=has_token)
        return None if found is ServerState.UP else found

    @property
    def there_ms(self) -> int:
        """A time (ms) at which the server was there already, the earliest that is known; 0: none is."""
        return min(filter(None, (self.entry.added_ms, self.facts.contact_ms)), default=0)

    @property
    def slug(self) -> str:
        return self.entry.instance.slug


def level(disabled: bool, problems: Sequence[Problem]) -> Level:
    """The level of a server with these problems."""
    if disabled:
        return Level.OFF
    if not problems:
        return Level.GOOD
    return Level.BAD if any(problem.serious for problem in problems) else Level.WARN
