"""Numbers the changes of servers: readers ask for those behind the last one that they have seen. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

from services.modapi.fleet.rows import ServerRow
from services.relay.instances.facts import Facts

KEPT_REMOVALS = 1_000  # number of removed servers that are remembered


_CLOCKS = ("now_ms", "contact_ms", "oldest_ms")
_FACTS = attrgetter(*(field.name for field in fields(Facts) if field.name not in _CLOCKS))


class FleetChanges:
    """The changes between two looks at the fleet, whoever looks. Of each server the last change counts."""

    def __init__(self) -> None:
        self.number = 0  # the number of the last change
        self._seen: Mapping[str, ServerRow] | None = None
        self._states: dict[str, Any] = {}
        self._changed: dict[str, int] = {}  # slug -> the number of its last change, the newest last
        self._removed: dict[str, int] = {}
        self._forgotten = 0  # removals up to this number are not remembered

    def look(self, rows: Mapping[str, ServerRow], there: Collection[str]) -> None:
        """Takes over the fleet as it is now. `there`: the slugs of all servers, also of those that could not
        be read."""
        if rows is self._seen:
            return
        is_first, self._seen = self._seen is None, rows
        for slug, row in rows.items():
            state = _without_clocks(row)
            if self._states.get(slug) != state:
                self._states[slug] = state
                self._removed.pop(slug, None)
                if not is_first:
                    self._note(self._changed, slug)
        for slug in self._states.keys() - set(there):
            del self._states[slug]
            self._changed.pop(slug, None)
            self._note(self._removed, slug)
        while len(self._removed) > KEPT_REMOVALS:
            self._forgotten = self._removed.pop(next(iter(self._removed)))

    def since(self, number: int) -> list[tuple[int, str]] | None:
        """The changes behind that number, in their order, each with its number: servers that are there with
        their present state, and those that were removed. None: it is not known."""
        if not self._forgotten <= number <= self.number:
            return None
        if number == self.number:
            return []
        found = [*self._changed.items(), *self._removed.items()]
        return sorted((at, slug) for slug, at in found if at > number)

    def _note(self, changes: dict[str, int], slug: str) -> None:
        self.number += 1
        changes.pop(slug, None)
        changes[slug] = self.number


def _without_clocks(row: ServerRow) -> Any:
    """All that is shown of a server, but for what changes by itself with the time."""
    problems = [(problem.code, problem.serious) for problem in row.problems]
    return row.entry, _FACTS(row.facts), row.state, problems
