"""One server with all that is known of it, its state in a word, and the changes of all servers. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum, unique
from itertools import takewhile
from operator import attrgetter
from typing import Any, NamedTuple

from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.diagnosis import Problem
from services.relay.instances.facts import Facts, ServerCause, server_cause

KEPT_REMOVALS = 1_000  # number of removed servers that are remembered

# All that is shown of a server, but for what changes by itself with the time.
_CLOCKS = ("now_ms", "contact_ms", "oldest_ms")
_FACTS = attrgetter(*(field.name for field in fields(Facts) if field.name not in _CLOCKS))


@unique
class ServerState(StrEnum):
    """How a server is, the worst first: `down` needs somebody, `attention` can wait, `disabled` is meant."""

    DOWN = "down"
    ATTENTION = "attention"
    UP = "up"
    DISABLED = "disabled"


class ServerRow(NamedTuple):
    """One server with all that is known of it. The worst of its `problems` is the first."""

    definition: DefinedInstance
    facts: Facts
    problems: list[Problem]
    state: ServerState

    @property
    def cause(self) -> ServerCause:
        if not self.definition.active:
            return ServerCause.DISABLED if self.definition.disabled else ServerCause.NOT_SERVED
        has_token = self.definition.instance.registration_token is not None
        return server_cause(self.facts, has_token=has_token)

    @property
    def there_ms(self) -> int:
        """A time (ms) at which the server was there already, the earliest that is known; 0: none is."""
        return min(filter(None, (self.definition.added_ms, self.facts.contact_ms)), default=0)

    @property
    def slug(self) -> str:
        return self.definition.instance.slug


def state_of(disabled: bool, problems: Sequence[Problem]) -> ServerState:
    """The state of a server with these problems."""
    if disabled:
        return ServerState.DISABLED
    if not problems:
        return ServerState.UP
    return ServerState.DOWN if any(problem.serious for problem in problems) else ServerState.ATTENTION


class FleetChanges:
    """The changes between two reads of the fleet, for all readers. Of each server the last change counts."""

    def __init__(self) -> None:
        self.number = 0  # the number of the last change
        self._seen: Mapping[str, ServerRow] | None = None
        self._states: dict[str, Any] = {}
        self._changed: dict[str, int] = {}  # slug -> the number of its last change, the newest last
        self._forgotten = 0  # removals up to this number are not remembered

    def update(self, rows: Mapping[str, ServerRow], there: Collection[str]) -> None:
        """Takes over the fleet as it is now. `there`: the slugs of all servers, also of those that could not
        be read."""
        if rows is self._seen:
            return
        is_first, self._seen = self._seen is None, rows
        for slug, row in rows.items():
            problems = [(problem.code, problem.serious) for problem in row.problems]
            state = row.definition, _FACTS(row.facts), row.state, problems
            if self._states.get(slug) != state:
                self._states[slug] = state
                if not is_first:
                    self._note(slug)
        if gone := self._states.keys() - set(there):
            for slug in gone:
                del self._states[slug]
                self._note(slug)
            removed = [slug for slug in self._changed if slug not in self._states]
            for slug in removed[:-KEPT_REMOVALS]:
                self._forgotten = self._changed.pop(slug)

    def since(self, number: int) -> list[tuple[int, str]] | None:
        """The changes behind that number, in their order, each with its number: servers that are there with
        their present state, and those that were removed. None: it is not known."""
        if not self._forgotten <= number <= self.number:
            return None
        newest_first = takewhile(lambda change: change[1] > number, reversed(self._changed.items()))
        return [(at, slug) for slug, at in newest_first][::-1]

    def _note(self, slug: str) -> None:
        self.number += 1
        self._changed.pop(slug, None)
        self._changed[slug] = self.number
