"""The page of all instances: which are shown, in which order, and how. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from services.modapi.page.markup import Html, html
from services.modapi.page.words import BADGES, NOTHING, Level, ago, badge, count, polls, span
from services.relay.diagnosis import Problem
from services.relay.entries import Entry
from services.relay.facts import Facts

ROWS = 50
READY = "ready"
"""The name that uplink gives to the state in which events flow."""


class Row(NamedTuple):
    """One instance with all that is known of it."""

    entry: Entry
    facts: Facts
    problems: list[Problem]
    level: Level

    @property
    def slug(self) -> str:
        return self.entry.instance.slug


SORTS: dict[str, tuple[str, Callable[[Row], Any], bool]] = {
    "state": ("State", lambda row: row.level, False),
    "name": ("Server", lambda row: row.entry.instance.name.casefold(), False),
    "contact": ("Game server", lambda row: _or(row.facts.silent_s, 1e12), False),
    "link": ("Takaro", lambda row: row.facts.link == READY, False),
    "players": ("Players", lambda row: row.facts.players or 0, True),
    "backlog": ("Waiting", lambda row: (row.facts.events, row.facts.oldest_s or 0), True),
    "dead": ("Dead", lambda row: row.facts.dead, True),
    "mod": ("Mod", lambda row: row.facts.mod_version, False),
    "owner": ("Uplink", lambda row: row.facts.uplink, False),
}
"""Columns: title, what to sort by, and whether the greatest come first."""


@dataclass(frozen=True, slots=True)
class View:
    """What the reader wants to see. Whatever the query says, this is valid."""

    text: str = ""
    state: str = ""
    sort: str = "state"
    turned: bool = False
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "View":
        sort = query.get("sort", "state")
        page = query.get("page", "1")
        state = query.get("state", "")
        return cls(
            query.get("q", "")[:100].strip(),
            state if state in BADGES.values() else "",
            sort if sort in SORTS else "state",
            query.get("turned") == "1",
            max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 6 else 1,
        )

    def query(self) -> str:
        """As it stands behind the question mark; "" for what everybody sees first."""
        values = {"q": self.text, "state": self.state, "sort": self.sort, "page": str(self.page)}
        if self.turned:
            values["turned"] = "1"
        default = {"q": "", "state": "", "sort": "state", "page": "1"}
        return urlencode({name: value for name, value in values.items() if value != default.get(name)})


class Shown(NamedTuple):
    """The rows of one page of the table, out of how many that fit the filter."""

    rows: list[Row]
    found: int
    pages: int
    page: int


def choose(rows: Sequence[Row], view: View) -> Shown:
    """What the view shows of all rows."""
    text = view.text.casefold()
    found = [
        row
        for row in rows
        if (not view.state or BADGES[row.level] == view.state)
        and (not text or text in row.slug or text in row.entry.instance.name.casefold())
    ]
    _, key, greatest_first = SORTS[view.sort]
    found.sort(key=lambda row: row.slug)
    found.sort(key=key, reverse=greatest_first != view.turned)
    pages = max(1, -(-len(found) // ROWS))
    page = min(view.page, pages)
    return Shown(found[(page - 1) * ROWS : page * ROWS], len(found), pages, page)


_PAGE = """\
<h1 class="sr">Servers</h1>
<div id="summary" class="tiles">{summary}</div>
<form class="filter" role="search" action="/">
<label class="sr" for="q">Search by name</label>
<input id="q" type="search" name="q" value="{text}" placeholder="Search by name" maxlength="100">
<label class="sr" for="state">State</label>
<select id="state" name="state"><option value="">All states</option>{states}</select>
<input type="hidden" name="sort" value="{sort}">
<button>Show</button>
</form>
<div id="table">{table}</div>
"""

_TABLE = """\
<table class="fleet">
<thead><tr>{heads}</tr></thead>
<tbody>{rows}</tbody>
</table>
{none}
{pages}
"""

_HEAD = """\
<th scope="col"{sorted}><a id="by-{name}" href="?{query}">{title}{arrow}</a></th>"""

_ROW = """\
<tr class="{level}">
<td class="state">{badge}</td>
<th scope="row"><a id="of-{slug}" href="/instance/{slug}">{name}</a>
<span class="dim slug">{slug}</span>{trouble}</th>
<td data-label="Game server">{contact}</td>
<td data-label="Takaro">{link}</td>
<td data-label="Players" class="n">{players}</td>
<td data-label="Waiting" class="n">{waiting}</td>
<td data-label="Dead" class="n">{dead}</td>
<td data-label="Mod" class="mod">{mod} <span class="dim">{polls}</span></td>
<td data-label="Uplink" class="dim wide">{owner}</td>
</tr>
"""


def page(rows: Sequence[Row], view: View) -> Html:
    """The body of the page."""
    states = [
        html(
            '<option value="{word}"{chosen}>{word}</option>',
            word=word,
            chosen=html(" selected") if word == view.state else None,
        )
        for word in BADGES.values()
    ]
    return html(
        _PAGE, summary=summary(rows), table=table(rows, view), text=view.text, states=states, sort=view.sort
    )


def summary(rows: Sequence[Row]) -> Html:
    """The whole fleet in a line."""
    levels = Counter(row.level for row in rows)
    tiles: list[tuple[str, int, str]] = [("servers", len(rows), "")]
    tiles += [(BADGES[level], levels[level], level.name.lower()) for level in Level]
    tiles += [
        ("players", sum(row.facts.players or 0 for row in rows), ""),
        ("events wait", sum(row.facts.events for row in rows), ""),
        ("dead letters", sum(row.facts.dead for row in rows), ""),
    ]
    return html(
        "{tiles}",
        tiles=[
            html(
                '<div class="tile {level}"><b>{n}</b> <span>{word}</span></div>',
                level=level if n else "",
                n=f"{n:,}".replace(",", "\u202f"),
                word=word,
            )
            for word, n, level in tiles
            if n or word in ("servers", "up", "players")
        ],
    )


def table(rows: Sequence[Row], view: View) -> Html:
    """The rows of this view."""
    shown = choose(rows, view)
    none = None
    if not rows:
        none = html(
            '<p class="none">No server yet. Add one with <code>dayz-relay instance add SLUG --name NAME'
            "</code>, or as an <code>[[instance]]</code> of relay.toml.</p>"
        )
    elif not shown.rows:
        none = html('<p class="none">No server fits. <a href="/">Show all</a></p>')
    return html(
        _TABLE,
        heads=[_head(name, view) for name in SORTS],
        rows=[_row(row) for row in shown.rows],
        none=none,
        pages=_pages(shown, view) if shown.pages > 1 else None,
    )


def _head(name: str, view: View) -> Html:
    title, _, greatest_first = SORTS[name]
    here = name == view.sort
    down = greatest_first != view.turned
    other = replace(view, sort=name, turned=here and not view.turned, page=1)
    return html(
        _HEAD,
        name=name,
        title=title,
        query=other.query() or "sort=state",
        arrow=(" ↓" if down else " ↑") if here else None,
        sorted=html(' aria-sort="{way}"', way="descending" if down else "ascending") if here else None,
    )


def _row(row: Row) -> Html:
    facts = row.facts
    return html(
        _ROW,
        level=row.level.name.lower(),
        badge=badge(row.level),
        slug=row.slug,
        name=row.entry.instance.name,
        trouble=[
            html('<span class="trouble">{text}</span>', text=problem.what) for problem in row.problems[:1]
        ],
        contact=ago(facts.silent_s),
        link=link_of(facts),
        players=NOTHING if facts.players is None else html("{n}", n=facts.players),
        waiting=waiting(facts),
        dead=count(facts.dead),
        mod=facts.mod_version,
        polls=None if facts.hold_ms is None else f"polls {polls(facts.hold_ms)}",
        owner=facts.uplink or NOTHING,
    )


def link_of(facts: Facts) -> Html:
    """The link to Takaro. Without an owner what is written of it is of the past."""
    if not facts.uplink:
        return NOTHING
    return html("{state}", state="linked" if facts.link == READY else facts.link or "not begun")


def waiting(facts: Facts) -> Html:
    """Events that wait, and since when."""
    if not facts.events:
        return NOTHING
    since = f" for {span(facts.oldest_s)}" if facts.oldest_s and facts.oldest_s >= 5 else ""
    return html('{n}<span class="dim">{since}</span>', n=count(facts.events), since=since)


def _pages(shown: Shown, view: View) -> Html:
    def to(page: int, word: str, name: str) -> Html:
        if not 1 <= page <= shown.pages:
            return html('<span class="none">{word}</span>', word=word)
        return html(
            '<a id="{name}" href="?{query}">{word}</a>',
            name=name,
            query=replace(view, page=page).query() or "page=1",
            word=word,
        )

    return html(
        '<nav class="pages" aria-label="Pages">{before} <span>{page} of {pages}, {found} servers</span>'
        " {after}</nav>",
        before=to(shown.page - 1, "← before", "before"),
        after=to(shown.page + 1, "next →", "next"),
        page=shown.page,
        pages=shown.pages,
        found=shown.found,
    )


def _or(value: float | None, other: float) -> float:
    return other if value is None else value
