"""What the page of all servers shows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from services.modapi.admin.models import FleetCounts
from services.modapi.admin.views import fleet_of
from services.modapi.fleet.rows import ServerRow, State
from services.modapi.page.chart import DayBar
from services.modapi.page.rendering import Fragments, render
from services.modapi.page.view import SORTS, ShownPage, View
from services.modapi.page.words import CAUSES

_ONE = {
    "servers": "server",
    "players": "player",
    "events waiting": "event waiting",
    "dead letters": "dead letter",
    "failed commands": "failed command",
}


FILTERS = {
    **{state.value: state.value for state in State},
    **{cause.value: text for cause, text in CAUSES.items()},
}
"""What the table can be narrowed to: the value of `state` in the query, and its text."""


class Tile(NamedTuple):
    """A number of the whole fleet, and the `query` of the servers that it counts. `kind` is its colour."""

    id: str
    number: int
    words: str
    kind: str
    query: str


def title(rows: Sequence[ServerRow]) -> str:
    """Shows, among the tabs of a browser, how many servers are down."""
    down = sum(row.state is State.DOWN for row in rows)
    return f"({down}) Servers" if down else "Servers"


def fragments(
    rows: Sequence[ServerRow], view: View, shown: ShownPage, days: Mapping[str, DayBar]
) -> Fragments:
    """The parts of the page that change. `days` are the bars of the `shown` rows by slug."""
    fleet = fleet_of(rows, ())
    return {
        "title": render("title", title=title(rows)),
        "summary": render("fleet_summary", tiles=tiles(fleet), chips=chips(fleet)),
        "table": render("fleet_table", days=days, any=bool(rows), **table(shown, view)),
    }


def tiles(fleet: FleetCounts) -> list[Tile]:
    """The whole fleet in a line."""
    counts: list[tuple[str, int, str, View]] = [
        ("servers", fleet.total, "", View()),
        *((state, fleet.states[state], state, View(state=state)) for state in State),
        ("players", fleet.players_online, "", View(sort="players")),
        ("events waiting", fleet.events_waiting, "", View(sort="backlog")),
        ("dead letters", fleet.dead_letters, "", View(sort="dead")),
        ("failed commands", fleet.failed_commands, "", View(sort="failed")),
    ]
    return [
        Tile(
            words.replace(" ", "-"),
            number,
            _ONE.get(words, words) if number == 1 else words,
            kind if number else "",
            view.query(),
        )
        for words, number, kind, view in counts
        if number or words in ("servers", "up", "players")
    ]


def chips(fleet: FleetCounts) -> list[Tile]:
    """How many servers are not up for which cause."""
    return [
        Tile(cause.value, fleet.causes[cause], text, "", View(state=cause.value).query())
        for cause, text in CAUSES.items()
        if fleet.causes[cause]
    ]


def table(shown: ShownPage, view: View) -> dict[str, Any]:
    """The values of fleet_table.html."""

    def query_of(page: int) -> str:
        return (replace(view, page=page).query() or "page=1") if 1 <= page <= shown.pages else ""

    return {
        "heads": [_head(name, view) for name in SORTS],
        "shown": shown,
        "before": query_of(shown.page - 1),
        "after": query_of(shown.page + 1),
    }


def _head(name: str, view: View) -> dict[str, str]:
    title, _, greatest_first = SORTS[name]
    here = name == view.sort
    down = greatest_first != view.turned
    other = replace(view, sort=name, turned=here and not view.turned, page=1)
    return {
        "name": name,
        "title": title,
        "query": other.query() or "sort=state",
        "arrow": ("\u00a0↓" if down else "\u00a0↑") if here else "",
        "sorted": ("descending" if down else "ascending") if here else "",
    }
