"""Numbers the changes of servers: readers ask for those behind the last one that they have seen. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from itertools import takewhile
from operator import attrgetter
from typing import Any

from services.modapi.fleet.rows import ServerRow
from services.relay.instances.facts import Facts

KEPT_REMOVALS = 1_000  # number of removed servers that are remembered

# All that is shown of a server, but for what changes by itself with the time.
_CLOCKS = ("now_ms", "contact_ms", "oldest_ms")
_FACTS = attrgetter(*(field.name for field in fields(Facts) if field.name not in _CLOCKS))


class FleetChanges:
    """The changes between two looks at the fleet, whoever looks. Of each server the last change counts."""

    def __init__(self) -> None:
        self.number = 0  # the number of the last change
        self._seen: Mapping[str, ServerRow] | None = None
        self._states: dict[str, Any] = {}
        self._changed: dict[str, int] = {}  # slug -> the number of its last change, the newest last
        self._forgotten = 0  # removals up to this number are not remembered

    def look(self, rows: Mapping[str, ServerRow], there: Collection[str]) -> None:
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
