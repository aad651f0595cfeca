"""The page of one instance. Pure."""

from collections.abc import Iterable, Sequence

from services.modapi.page.chart import charts
from services.modapi.page.fleet import link_of, waiting
from services.modapi.page.markup import Html, html
from services.modapi.page.setup import setup
from services.modapi.page.view import PageRow
from services.modapi.page.words import (
    FATES,
    GOOD_FATES,
    NOTHING,
    ago,
    arguments,
    badge,
    count,
    moment,
    polls,
    said,
    took,
)
from services.relay.instances.activity import DEAD, WAITING, ActivityEntry
from services.relay.instances.diagnosis import Problem
from services.relay.instances.minutes import Minute
from services.relay.protocol.vocabulary import ACTION_RULES, Action, ActionKind
from services.relay.service.settings import ModApi

SHOWN = 50
_NO_EVENTS = "Nothing yet. Those that were delivered are forgotten when the relay starts anew."
_NONE = "Nothing yet. This list begins anew when the relay starts."

_PAGE = """\
<p class="back"><a href="/">← all servers</a></p>
<h1>{name} <span class="dim slug">{slug}</span></h1>
<div id="facts">{facts}</div>
{setup}
<section aria-labelledby="hour-title"><h2 id="hour-title">Last hour</h2>
<div id="hour" class="hour">{hour}</div></section>
<div class="two">
<section><h2 id="events-title">Events</h2>
<div id="events" class="scroll" tabindex="0" role="region" aria-labelledby="events-title">{events}</div>
</section>
<section><h2 id="commands-title">Commands</h2>
<div id="commands" class="scroll" tabindex="0" role="region" aria-labelledby="commands-title">{commands}</div>
</section>
</div>
<section aria-labelledby="dead-title"><h2 id="dead-title">Dead letters</h2>
{notice}
<p class="dim">Events that Takaro does not have, because something in them is wrong or because it refused
them. Repeat tries one again. That helps after an update of the relay, or once its player has joined. A
repeated chat line counts as said now.</p>
<div id="dead">{dead}</div></section>
"""

_FACTS = """\
<div class="verdict {level}">{badge} {problems}</div>
<dl class="facts">
<div><dt>Game server</dt><dd>{contact}</dd></div>
<div><dt>Takaro</dt><dd>{link}</dd></div>
<div><dt>Players</dt><dd>{players}</dd></div>
<div><dt>Events wait</dt><dd>{waiting}</dd></div>
<div><dt>Commands wait</dt><dd>{commands}</dd></div>
<div><dt>Dead letters</dt><dd>{dead}</dd></div>
<div><dt>Positions made up</dt><dd>{made_up}</dd></div>
<div><dt>Polls</dt><dd>{polls}</dd></div>
<div><dt>Mod</dt><dd>{mod}</dd></div>
<div><dt>Uplink</dt><dd>{owner}</dd></div>
<div><dt>Takaro's id</dt><dd class="id">{id}</dd></div>
</dl>
"""


def facts(row: PageRow) -> Html:
    """How it is now."""
    found = row.facts
    problems = [
        html('<p><b>{what}</b> <span class="fix">{fix}</span></p>', what=problem.what, fix=_fix(problem))
        for problem in row.problems
    ]
    return html(
        _FACTS,
        level=row.level.name.lower(),
        badge=badge(row.level),
        problems=problems or html("<p>All is well.</p>"),
        contact=f"heard {ago(found.silent_s)}" if found.contact_ms else "never heard",
        link=link_of(found),
        players=NOTHING if found.players is None else found.players,
        waiting=waiting(found),
        commands=count(found.commands),
        dead=count(found.dead),
        made_up=f"{count(found.made_up)}, the last {ago(found.made_up_s)}" if found.made_up else NOTHING,
        polls=polls(found.hold_ms),
        mod=f"version {found.mod_version}" if found.mod_version else NOTHING,
        owner=found.uplink or NOTHING,
        id=found.game_server_id or NOTHING,
    )


def _fix(problem: Problem) -> Html:
    """Commands stand out. Dead letters are on this page."""
    if "dayz-relay dlq list" in problem.fix:
        return html('<a id="fix-dead" href="#dead-title">see Dead letters</a>')
    words = problem.fix.split("`")
    return html("{all}", all=[html("<code>{w}</code>" if n % 2 else "{w}", w=w) for n, w in enumerate(words)])


def events(passed: Iterable[ActivityEntry]) -> Html:
    """What happened in the game, the newest first."""
    rows = [
        html(
            '<tr><td>{at}</td><td class="what">{what}</td><td class="said">{said}</td>{fate}</tr>',
            at=moment(event.at_ms),
            what=event.what,
            said=said(event),
            fate=_fate(event),
        )
        for event in _newest(passed, "event")
    ]
    return _passed(rows, ("At", "Event", "What", "State"), _NO_EVENTS)


def commands(passed: Iterable[ActivityEntry]) -> Html:
    """What Takaro had done in the game. What it only asks for is too much to be read."""
    writes = [one for one in passed if one.kind == "command" and is_write(one.what)]
    rows = [
        html(
            '<tr><td>{at}</td><td class="said"><b>{what}</b> {args}</td>{fate}</tr>',
            at=moment(command.at_ms),
            what=command.what,
            args=arguments(command.data),
            fate=_fate(command),
        )
        for command in _newest(writes, "command")
    ]
    return _passed(rows, ("At", "Command", "Fate"), _NONE)


def is_write(action: str) -> bool:
    return action in ACTION_RULES and ACTION_RULES[Action(action)].kind is ActionKind.WRITE


def _newest(passed: Iterable[ActivityEntry], kind: str) -> list[ActivityEntry]:
    return sorted((one for one in passed if one.kind == kind), key=lambda one: -one.at_ms)[:SHOWN]


def _fate(passed: ActivityEntry) -> Html:
    good = passed.fate in GOOD_FATES
    time = f" in {took(passed.took_ms)}" if good else ""
    told = passed.fate == DEAD or (passed.kind == "command" and passed.fate == "refused")
    detail = passed.detail if told else ""
    return html(
        '<td class="fate {kind}">{fate}{time}{detail}</td>',
        kind="good" if good else "waits" if passed.fate == WAITING else "bad",
        fate=FATES.get(passed.fate, passed.fate),
        time=html('<span class="dim">{time}</span>', time=time),
        detail=f": {detail}" if detail else None,
    )


def _passed(rows: list[Html], heads: Sequence[str], none: str) -> Html:
    if not rows:
        return html('<p class="none">{none}</p>', none=none)
    return html(
        '<table class="passed"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>',
        heads=[html('<th scope="col">{head}</th>', head=head) for head in heads],
        rows=rows,
    )


def page(
    row: PageRow,
    modapi: ModApi,
    hour: Sequence[Minute],
    passed: Sequence[ActivityEntry],
    letters: Html,
    notice: str = "",
) -> Html:
    """The body of the page."""
    return html(
        _PAGE,
        slug=row.slug,
        name=row.entry.instance.name,
        notice=html('<p class="notice" role="status">{notice}</p>', notice=notice) if notice else None,
        facts=facts(row),
        setup=setup(row, modapi),
        hour=charts(hour),
        events=events(passed),
        commands=commands(passed),
        dead=letters,
    )
