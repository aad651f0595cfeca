"""What the page of all servers shows. Pure."""

from collections.abc import Mapping, Sequence

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
        "table": render("fleet_table", days=days, any=bool(rows), shown=shown, view=view, sorts=SORTS),
    }
