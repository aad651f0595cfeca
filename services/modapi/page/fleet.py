"""What the page of all servers shows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.modapi.admin.views import fleet_of
from services.modapi.fleet.rows import ServerRow, State
from services.modapi.page.chart import DayBar
from services.modapi.page.rendering import Fragments, render
from services.modapi.page.view import SORTS, ShownPage, View
from services.modapi.page.words import CAUSES

FILTERS = {
    **{state.value: state.value for state in State},
    **{cause.value: text for cause, text in CAUSES.items()},
}
"""What the table can be narrowed to: the value of `state` in the query, and its text."""


def title(rows: Sequence[ServerRow]) -> str:
    """Shows, among the tabs of a browser, how many servers are down."""
    down = sum(row.state is State.DOWN for row in rows)
    return f"({down}) Servers" if down else "Servers"


def fragments(
    rows: Sequence[ServerRow], view: View, shown: ShownPage, days: Mapping[str, DayBar]
) -> Fragments:
    """The parts of the page that change. `days` are the bars of the `shown` rows by slug."""
    return {
        "title": render("title", title=title(rows)),
        "summary": render("fleet_summary", fleet=fleet_of(rows, ())),
        "table": render("fleet_table", days=days, any=bool(rows), **table(shown, view)),
    }


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
