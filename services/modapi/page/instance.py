"""The page of one instance. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.modapi.page.chart import charts
from services.modapi.page.fleet import Row, link_of, waiting
from services.modapi.page.markup import Html, html
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
from services.modapi.repeats import why_not
from services.relay.dead_letters import Letter
from services.relay.entries import Origin
from services.relay.minutes import Minute
from services.relay.vocabulary import ACTION_RULES, Action, Kind
from services.relay.watching import Passed

LETTERS = 20
SHOWN = 50

_PAGE = """\
<p class="back"><a href="/">← all servers</a></p>
<h1>{name} <span class="dim slug">{slug}</span></h1>
{notice}
<div id="facts">{facts}</div>
{setup}
<section aria-labelledby="hour-title"><h2 id="hour-title">Last hour</h2>
<div id="hour" class="hour">{hour}</div></section>
<div class="two">
<section aria-labelledby="events-title"><h2 id="events-title">Events</h2>
<div id="events" class="scroll" tabindex="0">{events}</div></section>
<section aria-labelledby="commands-title"><h2 id="commands-title">Commands</h2>
<div id="commands" class="scroll" tabindex="0">{commands}</div></section>
</div>
<section aria-labelledby="dead-title"><h2 id="dead-title">Dead letters</h2>
<p class="dim">Events that could not become valid, or that Takaro refused. To repeat one is to take it in
again, as it came: worth while after an update of the relay, or when its player is known by now. A chat line
counts as said now.</p>
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
<div><dt>Polls</dt><dd>{polls}</dd></div>
<div><dt>Mod</dt><dd>{mod}</dd></div>
<div><dt>Uplink</dt><dd>{owner}</dd></div>
<div><dt>Takaro's id</dt><dd class="id">{id}</dd></div>
</dl>
"""


def facts(row: Row) -> Html:
    """How it is now."""
    found = row.facts
    problems = [
        html('<p><b>{what}</b> <span class="fix">{fix}</span></p>', what=problem.what, fix=problem.fix)
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
        polls=polls(found.hold_ms),
        mod=f"version {found.mod_version}" if found.mod_version else NOTHING,
        owner=found.uplink or NOTHING,
        id=found.game_server_id or NOTHING,
    )


def events(passed: Iterable[Passed]) -> Html:
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
    return _passed(rows, ("At", "Event", "What", "Fate"), "Nothing yet since its owner started.")


def commands(passed: Iterable[Passed]) -> Html:
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
    return _passed(rows, ("At", "Command", "Fate"), "None yet since its owner started.")


def is_write(action: str) -> bool:
    return action in ACTION_RULES and ACTION_RULES[Action(action)].kind is Kind.WRITE


def _newest(passed: Iterable[Passed], kind: str) -> list[Passed]:
    return sorted((one for one in passed if one.kind == kind), key=lambda one: -one.at_ms)[:SHOWN]


def _fate(passed: Passed) -> Html:
    good = passed.fate in GOOD_FATES
    time = f" in {took(passed.took_ms)}" if good else ""
    detail = passed.detail if not good and passed.kind == "command" and passed.fate == "refused" else ""
    return html(
        '<td class="fate {kind}">{fate}{time}{detail}</td>',
        kind="good" if good else "bad",
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


_LETTER = """\
<li id="letter-{id}">
<div class="letter"><b>{reason}</b> <span class="dim">{at}</span><p class="said">{detail}</p>
<details><summary id="raw-{id}">what came</summary><pre>{raw}</pre></details></div>
<div class="buttons">{repeat}{drop}</div>
</li>
"""

_BUTTON = """\
<form method="post" action="/instance/{slug}/dead/{id}/{verb}"><input type="hidden" name="key" value="{key}">\
<button id="{verb}-{id}" class="{kind}">{word}</button></form>"""


def dead(slug: str, letters: Sequence[Letter], form_key: str, older: bool = False) -> Html:
    """Dead letters, the newest first. `older`: these are not the newest of all."""
    back = html('<p><a href="/instance/{slug}#dead-title">the newest</a></p>', slug=slug) if older else None
    if not letters:
        return html(
            '<p class="none">{none}</p>{back}', none="No older ones." if older else "None.", back=back
        )
    more = None
    if len(letters) == LETTERS:
        more = html(
            '<p><a id="older" href="/instance/{slug}?before={id}#dead-title">older ones</a></p>',
            slug=slug,
            id=letters[-1].id,
        )
    return html(
        '<ul class="letters">{letters}</ul>{back}{more}',
        letters=[_letter(slug, letter, form_key) for letter in letters],
        back=back,
        more=more,
    )


def _letter(slug: str, letter: Letter, form_key: str) -> Html:
    def button(verb: str, word: str, kind: str) -> Html:
        return html(_BUTTON, slug=slug, id=letter.id, verb=verb, word=word, kind=kind, key=form_key)

    reason = why_not(letter)
    return html(
        _LETTER,
        id=letter.id,
        reason=letter.reason,
        at=moment(letter.at_ms),
        detail=letter.detail,
        raw=letter.raw.decode("utf-8", "backslashreplace"),
        repeat=html('<span class="dim why">{reason}</span>', reason=reason)
        if reason
        else button("repeat", "Repeat", ""),
        drop=button("drop", "Drop", "quiet"),
    )


_SETUP = """\
<details class="setup"{open}>
<summary>Setup: what to put into the mod's config</summary>
<p>In <code>profiles/TakaroIntegration/config.json</code> of the DayZ server:</p>
<pre>"TakaroApiUrl": "{address}/k/&lt;mod key&gt;",
"RegistrationToken": "&lt;mod key&gt;",</pre>
<ul>
<li>{key}</li>
<li>{where}</li>
<li>The mod registers once when the DayZ server starts: restart that after each change.</li>
</ul>
</details>
"""


@dataclass(frozen=True, slots=True)
class Wire:
    """Where mods call."""

    host: str
    port: int
    tls: bool

    @property
    def everywhere(self) -> bool:
        return self.host in ("0.0.0.0", "::")

    @property
    def address(self) -> str:
        host = "<address of the relay>" if self.everywhere else self.host
        return f"{'https' if self.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"


def setup(row: Row, wire: Wire) -> Html:
    """How its mod gets here. Open until that has happened. Keys are not shown: stored ones nobody knows."""
    slug = row.slug
    if row.entry.origin is Origin.FILE:
        key = html(
            "The mod key is one of <code>mod_keys</code> of the instance <code>{slug}</code> in relay.toml."
            "{none}",
            slug=slug,
            none=None
            if row.entry.keys
            else " It has none: then the address ends at the port, and only this machine may call.",
        )
    else:
        key = html(
            "The mod key was shown once when the server was added; only its hash is kept. "
            "<code>dayz-relay instance rotate {slug}</code> makes a new one.",
            slug=slug,
        )
    where = (
        html("Put in the address of the relay as the DayZ server reaches it.")
        if wire.everywhere
        else html("The relay listens on <code>{host}</code> only.", host=wire.host)
    )
    return html(
        _SETUP,
        open=None if row.facts.contact_ms else html(" open"),
        address=wire.address,
        key=key,
        where=where,
    )


def page(
    row: Row,
    wire: Wire,
    hour: Sequence[Minute],
    passed: Sequence[Passed],
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
        setup=setup(row, wire),
        hour=charts(hour),
        events=events(passed),
        commands=commands(passed),
        dead=letters,
    )
