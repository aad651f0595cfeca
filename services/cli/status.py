"""`dayz-relay status`: all instances in a table that renews itself, or one in detail."""

import asyncio
import shutil
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from services.cli.fleet import FleetRow, lines, link
from services.cli.opened_relay import OpenedRelay, opened
from services.cli.terminal import BOLD, DIM, RED, YELLOW, Paint, ago, moment, print_json, runnable, safe
from services.modapi.page.words import Severity
from services.relay.instances.diagnosis import Problem, diagnose_all
from services.relay.instances.entries import ServedEntry
from services.relay.instances.facts import Facts, facts_of_all
from services.relay.instances.mod_config import mod_url
from services.relay.instances.unknown_keys import UnknownKeyCalls
from services.relay.protocol.errors import StoreError
from services.relay.service import logs
from services.relay.service.settings import Settings

EVERY_S = 1.0

# The screen is written over, not cleared: it would flicker. Lines that are too long are cut by the terminal.
CLEAR, HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"


def run(args: Namespace, settings: Settings) -> int:
    """0 if all that is served is up, else 1. Raises ConfigError, StoreError, NoSuchInstance."""
    try:
        return asyncio.run(_run(args, settings))
    except KeyboardInterrupt:  # how watching ends
        print()
        return 0


async def _run(args: Namespace, settings: Settings) -> int:
    async with opened(settings, args.data) as relay:
        if args.slug:
            return await _print_one(relay, args.slug, as_json=args.json)
        at_terminal = sys.stdout.isatty()
        rows, notes = await _look(relay)
        paint = Paint.of(sys.stdout)
        if args.json:
            print_json([_plain(row) for row in rows])
        elif args.once or not at_terminal:
            columns = shutil.get_terminal_size().columns if at_terminal else None
            print(*_told(notes, paint), *lines(rows, paint, columns), sep="\n")
        else:
            print(CLEAR, end="")
            await _watch(relay, rows, notes)
        return int(any(row.level is Severity.BAD for row in rows))


async def _watch(relay: OpenedRelay, rows: list[FleetRow], notes: list[Problem]) -> None:
    """For ever. What is old says so, and why."""
    seen_s, trouble = time.monotonic(), ""
    while True:
        _show(rows, notes, trouble)
        await asyncio.sleep(EVERY_S)
        try:
            (rows, notes), seen_s, trouble = await _look(relay), time.monotonic(), ""
        except StoreError as error:
            trouble = f"{error}: this is {ago(time.monotonic() - seen_s)} old"


async def _look(relay: OpenedRelay) -> tuple[list[FleetRow], list[Problem]]:
    """All, those that need somebody first; and what may concern any of them."""
    entries = await relay.entries()
    facts = await facts_of_all(relay.store, list(entries))
    found = diagnose_all(
        entries, facts, mod_url(relay.settings.modapi), await UnknownKeyCalls(relay.store).all()
    )
    rows = [FleetRow(entry, facts[slug], found.of[slug]) for slug, entry in entries.items()]
    return sorted(rows, key=lambda row: (row.level, row.entry.instance.slug)), found.fleet


def _told(notes: list[Problem], paint: Paint) -> list[str]:
    return [f"{paint('note', YELLOW)}  {safe(note.what)}: {safe(runnable(note.fix))}" for note in notes]


def _show(rows: list[FleetRow], notes: list[Problem], trouble: str) -> None:
    """As much of it as the terminal has room for."""
    size, paint = shutil.get_terminal_size(), Paint.of(sys.stdout)
    told = [paint(safe(logs.clean(trouble)), RED)] if trouble else []
    told += _told(notes, paint)
    told += lines(rows, paint, size.columns, size.lines - 2 - len(told))
    print(NO_WRAP + HOME + f"{REST_OF_LINE}\n".join(told) + REST_OF_SCREEN + WRAP, end="", flush=True)


async def _print_one(relay: OpenedRelay, slug: str, *, as_json: bool) -> int:
    await relay.entry(slug)  # raises NoSuchInstance
    # All are looked at: whose a call with a wrong key is, is known by who else is missed.
    rows, notes = await _look(relay)
    row = next(row for row in rows if row.entry.instance.slug == slug)
    if as_json:
        print_json(_plain(row))
        return int(row.level is Severity.BAD)
    entry, facts, problems = row
    paint = Paint.of(sys.stdout)
    print(*_told(notes, paint), sep="\n", end="\n\n" if notes else "")
    state = paint(*row.state)
    print(f"{paint(entry.instance.slug, BOLD)}  {state}  {safe(entry.instance.name)}\n")
    for name, text in _details(entry, facts):
        print(f"{paint(name.ljust(18), DIM)}{text}")
    for problem in problems:
        print(
            f"\n{paint('problem', RED) if problem.serious else paint('note', YELLOW)}  {safe(problem.what)}"
        )
        print(f"{paint('fix', DIM)}      {safe(runnable(problem.fix))}")
    return int(row.level is Severity.BAD)


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
        ("Takaro", link(facts)[0]),
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
        "up": entry.active and row.level is not Severity.BAD,
        **told,
        "problems": [asdict(problem) for problem in problems],
    }
