"""All instances as a table for a terminal, in the words of the status page."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from services.cli.terminal import (
    BOLD,
    DIM,
    GREEN,
    RED,
    YELLOW,
    Cell,
    Paint,
    ago,
    cut,
    many,
    runnable,
    safe,
    table,
    width,
)
from services.modapi.page.words import BADGES, Severity, level, link_word
from services.relay.instances.diagnosis import Problem
from services.relay.instances.entries import ServedEntry
from services.relay.instances.facts import Facts
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import SILENT_AFTER_S

COLOURS = {Severity.BAD: RED, Severity.WARN: YELLOW, Severity.GOOD: GREEN, Severity.OFF: DIM}

HEAD = ("STATE", "SLUG", "NAME", "GAME SERVER", "TAKARO", "PLAYERS", "WAITING", "DEAD", "UPLINK")
NUMBERS = ("PLAYERS", "WAITING", "DEAD")
NAME_COLUMNS = 28
LEAST_NAME_COLUMNS = 6
OLD_S = 60.0

_LINKS: dict[str, str] = {LinkState.READY: GREEN, LinkState.REFUSED: RED}


class FleetRow(NamedTuple):
    """One instance with all that is known of it."""

    entry: ServedEntry
    facts: Facts
    problems: list[Problem]

    @property
    def level(self) -> Severity:
        return level(self.entry.disabled, self.problems)

    @property
    def state(self) -> tuple[str, str]:
        return BADGES[self.level], COLOURS[self.level]


def lines(
    rows: Sequence[FleetRow], paint: Paint, columns: int | None = None, most: int | None = None
) -> list[str]:
    """What fits into so many columns and lines; without them all of it."""
    if not rows:
        return [runnable("There is no instance yet: `dayz-relay instance add` adds one.")]
    shown = rows if most is None else rows[: max(1, most - 4)]
    told = [paint(_summary(rows), BOLD), "", *_table(shown, paint, columns)]
    if len(shown) < len(rows):
        more = f"and {len(rows) - len(shown):,} more: `dayz-relay status | less`"
        told.append(paint(runnable(more), DIM))
    return told


def _summary(rows: Sequence[FleetRow]) -> str:
    levels = Counter(row.level for row in rows)
    order = (Severity.GOOD, Severity.WARN, Severity.BAD, Severity.OFF)
    told = [f"{levels[one]:,} {BADGES[one]}" for one in order if levels[one] or one is Severity.GOOD]
    players = [row.facts.players for row in rows if row.facts.players is not None]
    return f"{', '.join(told)}; {many(sum(players), 'player') if players else '? players'}"


def _table(rows: Sequence[FleetRow], paint: Paint, columns: int | None) -> list[str]:
    """The names give way, so that the other columns fit."""
    names = min(NAME_COLUMNS, max(width(safe(row.entry.instance.name)) for row in rows))
    whole = _in_columns(rows, Paint(False), names)
    over = 0 if columns is None else max(map(width, whole)) - columns
    if over > 0:
        names = names - over if names - over >= LEAST_NAME_COLUMNS else 0
    return _in_columns(rows, paint, names)


def _in_columns(rows: Sequence[FleetRow], paint: Paint, names: int) -> list[str]:
    """Names of so many columns; 0: none."""
    kept = [column for column, title in enumerate(HEAD) if names or title != "NAME"]
    cells = [_cells(row, names or 1) for row in rows]
    return table([HEAD[n] for n in kept], [[row[n] for n in kept] for row in cells], paint, NUMBERS)


def _cells(row: FleetRow, name_columns: int) -> tuple[Cell, ...]:
    entry, facts, _ = row
    silent_s = facts.silent_s
    fresh = silent_s is not None and silent_s <= SILENT_AFTER_S
    return (
        row.state,
        entry.instance.slug,
        cut(safe(entry.instance.name), name_columns),
        ("never" if silent_s is None else f"{ago(silent_s)} ago", GREEN if fresh else RED),
        link(facts),
        "?" if facts.players is None else str(facts.players),
        _waiting(facts),
        (str(facts.dead), YELLOW if facts.dead else ""),
        facts.uplink or ("nobody", RED),
    )


def link(facts: Facts) -> tuple[str, str]:
    """The link to Takaro. Without an owner what is written of it is of the past."""
    if not facts.uplink:
        return "no link", RED
    return link_word(facts.link), _LINKS.get(facts.link, YELLOW)


def _waiting(facts: Facts) -> Cell:
    if not facts.events:
        return "0"
    old_s = facts.oldest_s or 0.0
    return (f"{facts.events} ({ago(old_s)})", YELLOW if old_s > OLD_S else "")
