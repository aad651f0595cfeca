"""`dayz-relay status`: all instances in a table that renews itself, or one in detail."""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from services.cli.fleet import FleetRow, link, overview
from services.cli.opened_relay import OpenedRelay
from services.cli.tables import Part, console_for, label, show
from services.cli.terminal import ago, moment, print_json, runnable, safe
from services.cli.watching import until_nobody_watches
from services.modapi.fleet.rows import Level
from services.relay.instances.diagnosis import Problem, diagnose_all
from services.relay.instances.entries import ServedEntry
from services.relay.instances.facts import Facts, facts_of_all
from services.relay.instances.mod_config import mod_url
from services.relay.instances.unknown_keys import UnknownKeyCalls
from services.relay.protocol.errors import StoreError
from services.relay.service import logs

EVERY_S = 1.0


async def run(relay: OpenedRelay, *, slug: str | None, once: bool, as_json: bool) -> int:
    """Print all servers, or one. Returns 0 if every served server is up, else 1.

    Raises StoreError, NoSuchInstance.
    """
    if slug:
        return await _print_one(relay, slug, as_json=as_json)
    rows, notes = await _look(relay)
    if as_json:
        print_json([_plain(row) for row in rows])
    elif once or not sys.stdout.isatty():
        columns = console_for(sys.stdout).width if sys.stdout.isatty() else None
        show(*_noted(notes), *overview(rows, columns))
    else:
        await until_nobody_watches(_watch(relay, rows, notes))
        return 0
    return int(any(row.level is Level.BAD for row in rows))


async def _watch(relay: OpenedRelay, rows: list[FleetRow], notes: list[Problem]) -> None:
    """Show all servers until cancelled. If the store is away, a line says how old they are, and why."""
    seen_s, trouble = time.monotonic(), ""
    console = console_for(sys.stdout)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            above = [label(logs.clean(trouble), "red")] if trouble else []
            parts: list[Part] = [*above, *_noted(notes)]
            room = console.height - 2 - len(parts)
            live.update(Group(*parts, *overview(rows, console.width, room)), refresh=True)
            await asyncio.sleep(EVERY_S)
            try:
                (rows, notes), seen_s, trouble = await _look(relay), time.monotonic(), ""
            except StoreError as error:
                trouble = f"{error}: this is {ago(time.monotonic() - seen_s)} old"


async def _look(relay: OpenedRelay) -> tuple[list[FleetRow], list[Problem]]:
    """All servers, those with problems first, and the notes that belong to no single server."""
    entries = await relay.entries()
    facts = await facts_of_all(relay.store, list(entries))
    found = diagnose_all(
        entries, facts, mod_url(relay.settings.modapi), await UnknownKeyCalls(relay.store).all()
    )
    rows = [FleetRow(entry, facts[slug], found.of[slug]) for slug, entry in entries.items()]
    return sorted(rows, key=lambda row: (row.level, row.entry.instance.slug)), found.fleet


def _noted(notes: Sequence[Problem]) -> list[Text]:
    return [
        Text.assemble(("note", "yellow"), f"  {safe(note.what)}: {safe(runnable(note.fix))}")
        for note in notes
    ]


async def _print_one(relay: OpenedRelay, slug: str, *, as_json: bool) -> int:
    await relay.entry(slug)  # raises NoSuchInstance
    # Look at all: a call with a wrong key is assigned by which other servers are missing.
    rows, notes = await _look(relay)
    row = next(row for row in rows if row.entry.instance.slug == slug)
    if as_json:
        print_json(_plain(row))
        return int(row.level is Level.BAD)
    entry, facts, problems = row
    parts: list[Part] = [*_noted(notes), ""] if notes else []
    slug_in_bold = (entry.instance.slug, "bold")
    parts += [Text.assemble(slug_in_bold, "  ", row.state, f"  {safe(entry.instance.name)}"), ""]
    parts += [Text.assemble((name.ljust(18), "dim"), text) for name, text in _details(entry, facts)]
    for problem in problems:
        mark = ("problem", "red") if problem.serious else ("note", "yellow")
        parts += ["", Text.assemble(mark, f"  {safe(problem.what)}")]
        parts.append(Text.assemble(("fix", "dim"), f"      {safe(runnable(problem.fix))}"))
    show(*parts)
    return int(row.level is Level.BAD)


def _details(entry: ServedEntry, facts: Facts) -> list[tuple[str, str]]:
    heard = "never called" if facts.silent_s is None else f"heard of {ago(facts.silent_s)} ago"
    held = {None: "", 0: ", polls are not held"}.get(
        facts.hold_ms, f", polls held for {(facts.hold_ms or 0) / 1000:g} s"
    )
    made_up = f"{facts.made_up}, the last {ago(facts.made_up_s)} ago" if facts.made_up else "none"
    waiting = f"{facts.events} ({facts.events_bytes:,} bytes)"
    if facts.oldest_s is not None:
        waiting += f", the oldest for {ago(facts.oldest_s)}"
    return [
        ("defined in", "relay.toml" if entry.origin.value == "file" else "Redis"),
        ("mod keys", str(len(entry.keys))),
        ("game server", f"{heard}{held}"),
        ("mod version", safe(facts.mod_version) or "it has not said"),
        ("players online", "?" if facts.players is None else str(facts.players)),
        ("Takaro", link(facts).plain),
        ("Takaro's id", facts.game_server_id or "none yet"),
        ("uplink", facts.uplink or "nobody"),
        ("events waiting", waiting),
        ("commands waiting", str(facts.commands)),
        ("dead letters", str(facts.dead)),
        ("positions made up", made_up),
    ]


def _plain(row: FleetRow) -> dict[str, Any]:
    entry, facts, problems = row
    at = {
        "now_ms": "now",
        "contact_ms": "last_contact",
        "oldest_ms": "oldest_event",
        "made_up_ms": "last_made_up",
    }
    told = {at.get(name, name): value for name, value in asdict(facts).items()}
    for name in at.values():
        told[name] = told[name] and moment(told[name])
    return {
        "slug": entry.instance.slug,
        "name": entry.instance.name,
        "origin": entry.origin.value,
        "served": entry.active,
        "up": entry.active and row.level is not Level.BAD,
        **told,
        "problems": [asdict(problem) for problem in problems],
    }
