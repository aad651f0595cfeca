"""All instances as a table for a terminal, in the words of the status page."""

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from services.cli.opened_relay import OpenedRelay
from services.cli.tables import Part, Rows, cut, label
from services.cli.terminal import ago, many, runnable, safe
from services.modapi.fleet.rows import LEVEL_WORDS, Level, ServerRow, level
from services.modapi.page.words import link_word
from services.relay.instances.diagnosis import Problem, diagnose_all
from services.relay.instances.facts import Facts, facts_of_all
from services.relay.instances.mod_config import mod_url
from services.relay.instances.unknown_keys import UnknownKeyCalls
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import SILENT_AFTER_S

COLOURS = {Level.BAD: "red", Level.WARN: "yellow", Level.GOOD: "green", Level.OFF: "dim"}

HEAD = ("STATE", "SLUG", "NAME", "GAME SERVER", "TAKARO", "PLAYERS", "WAITING", "DEAD", "UPLINK")
NUMBERS = ("PLAYERS", "WAITING", "DEAD")
NAME_COLUMNS = 28
NAMES_FROM_COLUMNS = 88
"""Number of columns. A narrower terminal has no room for the names."""

OLD_S = 60.0

_LINKS: dict[str, str] = {LinkState.READY: "green", LinkState.REFUSED: "red"}


async def look_at_all(relay: OpenedRelay) -> tuple[list[ServerRow], list[Problem]]:
    """All servers, those with problems first, and the notes that belong to no single server.

    Raises StoreError.
    """
    entries = await relay.entries()
    facts = await facts_of_all(relay.store, list(entries))
    unknown_calls = await UnknownKeyCalls(relay.store).all()
    found = diagnose_all(entries, facts, mod_url(relay.settings.modapi), unknown_calls)
    rows = [
        ServerRow(entry, facts[slug], found.of[slug], level(entry.disabled, found.of[slug]))
        for slug, entry in entries.items()
    ]
    return sorted(rows, key=lambda row: (row.level, row.slug)), found.fleet


def state(row: ServerRow) -> Text:
    """Its state in a word."""
    return Text(LEVEL_WORDS[row.level], COLOURS[row.level])


def overview(rows: Sequence[ServerRow], columns: int | None = None, most: int | None = None) -> list[Part]:
    """A summary, and as many of the servers as fit into `most` lines; without it all."""
    if not rows:
        return [runnable("There is no instance yet: `dayz-relay instance add` adds one.")]
    shown = rows if most is None else rows[: max(1, most - 4)]
    parts: list[Part] = [Text(_summary(rows), "bold"), "", _table(shown, columns)]
    if len(shown) < len(rows):
        more = f"and {len(rows) - len(shown):,} more: `dayz-relay status | less`"
        parts.append(Text(runnable(more), "dim"))
    return parts


def _summary(rows: Sequence[ServerRow]) -> str:
    levels = Counter(row.level for row in rows)
    order = (Level.GOOD, Level.WARN, Level.BAD, Level.OFF)
    told = [f"{levels[one]:,} {LEVEL_WORDS[one]}" for one in order if levels[one] or one is Level.GOOD]
    players = [row.facts.players for row in rows if row.facts.players is not None]
    return f"{', '.join(told)}; {many(sum(players), 'player') if players else '? players'}"


def _table(rows: Sequence[ServerRow], columns: int | None) -> Rows:
    kept = [
        n
        for n, title in enumerate(HEAD)
        if title != "NAME" or columns is None or columns >= NAMES_FROM_COLUMNS
    ]
    cells = [_cells(row) for row in rows]
    return Rows(
        [HEAD[n] for n in kept],
        [[row[n] for n in kept] for row in cells],
        numbers=NUMBERS,
        flexible="NAME",
    )


def _cells(row: ServerRow) -> tuple[str | Text, ...]:
    entry, facts = row.entry, row.facts
    silent_s = facts.silent_s
    fresh = silent_s is not None and silent_s <= SILENT_AFTER_S
    return (
        state(row),
        entry.instance.slug,
        cut(safe(entry.instance.name), NAME_COLUMNS),
        label("never" if silent_s is None else f"{ago(silent_s)} ago", "green" if fresh else "red"),
        link(facts),
        "?" if facts.players is None else str(facts.players),
        _waiting(facts),
        label(str(facts.dead), "yellow" if facts.dead else ""),
        facts.uplink or label("nobody", "red"),
    )


def link(facts: Facts) -> Text:
    """The link to Takaro. Without an owner the stored state is out of date."""
    if not facts.uplink:
        return label("no link", "red")
    return label(link_word(facts.link), _LINKS.get(facts.link, "yellow"))


def _waiting(facts: Facts) -> str | Text:
    if not facts.events:
        return "0"
    old_s = facts.oldest_s or 0.0
    return label(f"{facts.events} ({ago(old_s)})", "yellow" if old_s > OLD_S else "")
