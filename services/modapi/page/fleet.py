"""The page of all servers: its rows, their filter and their order. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from services.modapi.admin.views import fits, fleet_of
from services.modapi.fleet.rows import ServerRow, ServerState
from services.modapi.page.figures import CAUSES, DayBar
from services.modapi.page.rendering import Fragments, render
from services.relay.protocol.link_states import LinkState

ROWS = 50

FILTERS = {
    **{state.value: state.value for state in ServerState},
    **{cause.value: text for cause, text in CAUSES.items()},
}
"""The filters of the table: the value of `state` in the query, and its text."""

SORTS: dict[str, tuple[str, Callable[[ServerRow], Any], bool]] = {
    "state": ("State", lambda row: list(ServerState).index(row.state), False),
    "name": ("Server", lambda row: row.definition.instance.name.casefold(), False),
    "contact": ("Last contact", lambda row: -(row.facts.contact_ms or 0), False),
    "link": ("Takaro", lambda row: row.facts.link == LinkState.READY, False),
    "players": ("Players", lambda row: row.facts.players or 0, True),
    "backlog": ("Waiting", lambda row: (row.facts.events, row.facts.oldest_s or 0), True),
    "dead": ("Dead letters", lambda row: row.facts.dead, True),
    "failed": ("Failed", lambda row: row.facts.failed_commands, True),
    "mod": ("Mod", lambda row: row.facts.mod_version, False),
    "owner": ("Uplink", lambda row: row.facts.uplink, False),
}
"""Columns: title, what to sort by, and whether the greatest come first."""


@dataclass(frozen=True, slots=True)
class View:
    """The filter and the order of the rows. Any query gives a valid one."""

    q: str = ""
    state: str = ""
    sort: str = "state"
    page: int = 1
    turned: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "View":
        sort = query.get("sort", "state")
        page = query.get("page", "1")
        state = query.get("state", "")
        return cls(
            query.get("q", "")[:100].strip(),
            state if state in {*ServerState, *CAUSES} else "",
            sort if sort in SORTS else "state",
            max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
            int(query.get("turned") == "1"),
        )

    def query(self, **changes: Any) -> str:
        """With these changes, as it stands behind the question mark; "" for what everybody sees first."""
        default, shown = asdict(View()), asdict(replace(self, **changes))
        return urlencode({name: value for name, value in shown.items() if value != default[name]})


class ShownPage(NamedTuple):
    """One page of the table, and how many rows fit the filter."""

    rows: list[ServerRow]
    found: int
    pages: int
    page: int


def choose(rows: Sequence[ServerRow], view: View) -> ShownPage:
    """The page of rows that the view shows."""
    found = [row for row in rows if fits(row, view.state, view.q)]
    _, key, greatest_first = SORTS[view.sort]
    found.sort(key=lambda row: row.slug)
    found.sort(key=key, reverse=greatest_first != view.turned)
    pages = max(1, -(-len(found) // ROWS))
    page = min(view.page, pages)
    return ShownPage(found[(page - 1) * ROWS : page * ROWS], len(found), pages, page)


def title(rows: Sequence[ServerRow]) -> str:
    """Page title: the number of servers that are down."""
    down = sum(row.state is ServerState.DOWN for row in rows)
    return f"({down}) Servers" if down else "Servers"


def fragments(
    rows: Sequence[ServerRow], view: View, shown: ShownPage, days: Mapping[str, DayBar]
) -> Fragments:
    """The parts of the page that change. `days` are the bars of the `shown` rows by slug."""
    return {
        "title": render("title", title=title(rows)),
        "summary": render("fleet_summary", fleet=fleet_of(rows, ())),
        "table": render("fleet_table", days=days, any=bool(rows), shown=shown, view=view, sorts=SORTS),
    }
