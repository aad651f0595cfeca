"""The page of all instances. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from services.modapi.page.markup import Html, html
from services.modapi.page.view import SORTS, PageRow, ShownPage, View, choose
from services.modapi.page.words import BADGES, NOTHING, Severity, ago, badge, count, link_word, polls
from services.relay.instances.facts import Facts
from services.relay.service.durations import span

_PAGE = """\
<h1 class="sr">Servers</h1>
<div id="summary" class="tiles">{summary}</div>
<form class="filter" role="search" action="/">
<label class="sr" for="q">Search by name</label>
<input id="q" type="search" name="q" value="{text}" placeholder="Search by name" maxlength="100">
<label class="sr" for="state">State</label>
<select id="state" name="state"><option value="">All states</option>{states}</select>
<input type="hidden" name="sort" value="{sort}">
{turned}
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

_ONE = {"servers": "server", "players": "player", "events wait": "event waits", "dead letters": "dead letter"}

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


def page(rows: Sequence[PageRow], view: View) -> Html:
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
        _PAGE,
        summary=summary(rows),
        table=table(rows, view),
        text=view.text,
        states=states,
        sort=view.sort,
        turned=html('<input type="hidden" name="turned" value="1">') if view.turned else None,
    )


def title(rows: Sequence[PageRow]) -> str:
    """Tells, among the tabs of a browser, how many servers are down."""
    down = sum(row.level is Severity.BAD for row in rows)
    return f"({down}) Servers" if down else "Servers"


def summary(rows: Sequence[PageRow]) -> Html:
    """The whole fleet in a line; each number leads to what it counts."""
    levels = Counter(row.level for row in rows)
    tiles: list[tuple[str, int, str, View]] = [("servers", len(rows), "", View())]
    tiles += [
        (BADGES[level], levels[level], level.name.lower(), View(state=BADGES[level])) for level in Severity
    ]
    tiles += [
        ("players", sum(row.facts.players or 0 for row in rows), "", View(sort="players")),
        ("events wait", sum(row.facts.events for row in rows), "", View(sort="backlog")),
        ("dead letters", sum(row.facts.dead for row in rows), "", View(sort="dead")),
    ]
    return html(
        "{tiles}",
        tiles=[
            html(
                '<a id="tile-{id}" class="tile {level}" href="/?{query}"><b>{n}</b> <span>{word}</span></a>',
                id=word.replace(" ", "-"),
                query=view.query(),
                level=level if n else "",
                n=f"{n:,}".replace(",", "\u202f"),
                word=_ONE.get(word, word) if n == 1 else word,
            )
            for word, n, level, view in tiles
            if n or word in ("servers", "up", "players")
        ],
    )


def table(rows: Sequence[PageRow], view: View) -> Html:
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


def _row(row: PageRow) -> Html:
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
    return html("{state}", state=link_word(facts.link))


def waiting(facts: Facts) -> Html:
    """Events that wait, and since when."""
    if not facts.events:
        return NOTHING
    since = f" for {span(facts.oldest_s)}" if facts.oldest_s and facts.oldest_s >= 5 else ""
    return html('{n}<span class="dim">{since}</span>', n=count(facts.events), since=since)


def _pages(shown: ShownPage, view: View) -> Html:
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
