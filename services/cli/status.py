"""`dayz-relay status`: all instances in a table that renews itself, or one in detail."""

import asyncio
import shutil
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from services.cli.desk import Desk, opened
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
    moment,
    print_json,
    safe,
    table,
)
from services.relay import logs
from services.relay.errors import StoreError
from services.relay.instances.diagnosis import Problem, diagnose
from services.relay.instances.entries import Entry
from services.relay.instances.facts import Facts, facts_of, facts_of_all
from services.relay.mod_config import mod_url
from services.relay.settings import Settings

EVERY_S = 1.0

# The screen is written over, not cleared: it would flicker. Lines that are too long are cut by the terminal.
CLEAR, HOME, REST_OF_LINE, REST_OF_SCREEN = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"

NAME_COLUMNS = 28

HEAD = ("", "SLUG", "NAME", "GAME SERVER", "TAKARO", "PLAYERS", "WAITING", "COMMANDS", "DEAD", "OWNER")

Row = tuple[Entry, Facts, list[Problem]]


def run(args: Namespace, settings: Settings) -> int:
    """0 if all that is served is up, else 1. Raises ConfigError, StoreError, NoSuchInstance."""
    try:
        return asyncio.run(_run(args, settings))
    except KeyboardInterrupt:  # how watching ends
        print()
        return 0


async def _run(args: Namespace, settings: Settings) -> int:
    async with opened(settings, args.data) as desk:
        if args.slug:
            return _print_one(await _one(desk, args.slug), as_json=args.json)
        live = sys.stdout.isatty() and not (args.once or args.json)
        rows = await _rows(desk)
        if args.json:
            print_json([_plain(row) for row in rows])
        elif not live:
            print(*_lines(rows, Paint.of(sys.stdout)), sep="\n")
        else:
            print(CLEAR, end="")
            await _watch(desk, rows)
        return int(any(_is_down(row) for row in rows))


async def _watch(desk: Desk, rows: list[Row]) -> None:
    """For ever. What is old says so, and why."""
    seen_s, trouble = time.monotonic(), ""
    while True:
        _show(rows, trouble)
        await asyncio.sleep(EVERY_S)
        try:
            rows, seen_s, trouble = await _rows(desk), time.monotonic(), ""
        except StoreError as error:
            trouble = f"{error}: this is {ago(time.monotonic() - seen_s)} old"


async def _rows(desk: Desk) -> list[Row]:
    """Those that need somebody come first."""
    entries = await desk.entries()
    facts = await facts_of_all(desk.store, list(entries))
    url = mod_url(desk.settings.modapi)
    rows = [(entry, facts[slug], diagnose(entry, facts[slug], url)) for slug, entry in entries.items()]
    return sorted(rows, key=lambda row: (row[0].disabled, not _is_down(row), row[0].instance.slug))


async def _one(desk: Desk, slug: str) -> Row:
    entry, facts = await desk.entry(slug), await facts_of(desk.store, slug)
    return entry, facts, diagnose(entry, facts, mod_url(desk.settings.modapi))


def _is_down(row: Row) -> bool:
    entry, _, problems = row
    return not entry.disabled and any(problem.serious for problem in problems)


def _show(rows: list[Row], trouble: str) -> None:
    """As much of it as the terminal has room for."""
    size, paint = shutil.get_terminal_size(), Paint.of(sys.stdout)
    told = [paint(safe(logs.clean(trouble)), RED)] if trouble else []
    lines = told + _lines(rows, paint, size.lines - 2 - len(told))
    print(NO_WRAP + HOME + f"{REST_OF_LINE}\n".join(lines) + REST_OF_SCREEN + WRAP, end="", flush=True)


def _lines(rows: list[Row], paint: Paint, most: int | None = None) -> list[str]:
    if not rows:
        return ["There is no instance yet: `dayz-relay instance add` adds one."]
    down = sum(map(_is_down, rows))
    off = sum(not entry.active for entry, _, _ in rows)
    told = [
        f"{len(rows) - down - off} up",
        *([f"{down} down"] if down else []),
        *([f"{off} off"] if off else []),
    ]
    players = sum(facts.players or 0 for _, facts, _ in rows)
    lines = [paint(f"{', '.join(told)}; {players} player{'s' * (players != 1)}", BOLD), ""]
    shown = rows if most is None else rows[: max(1, most - len(lines) - 2)]
    lines += table(HEAD, [_cells(*row) for row in shown], paint)
    if len(shown) < len(rows):
        lines.append(paint(f"and {len(rows) - len(shown)} more: `dayz-relay status | less`", DIM))
    return lines


def _cells(entry: Entry, facts: Facts, problems: list[Problem]) -> tuple[Cell, ...]:
    if not entry.active:
        mark: Cell = ("off", DIM)
    elif any(problem.serious for problem in problems):
        mark = ("down", RED)
    else:
        mark = ("up", GREEN)
    silent = facts.silent_s
    old = facts.oldest_s or 0.0
    return (
        mark,
        entry.instance.slug,
        cut(safe(entry.instance.name), NAME_COLUMNS),
        (f"{ago(silent)} ago" if silent is not None else "never", GREEN if (silent or 99) < 60 else RED),
        _link(facts),
        "" if facts.players is None else str(facts.players),
        (f"{facts.events} ({ago(old)})", YELLOW if old > 60 else "") if facts.events else "0",
        str(facts.commands),
        (str(facts.dead), YELLOW if facts.dead else ""),
        facts.uplink or ("nobody", RED),
    )


def _link(facts: Facts) -> Cell:
    if not facts.uplink:
        return ("no link", RED)
    return (facts.link or "none yet", {"ready": GREEN, "refused": RED}.get(facts.link, YELLOW))


def _print_one(row: Row, *, as_json: bool) -> int:
    if as_json:
        print_json(_plain(row))
        return int(_is_down(row))
    entry, facts, problems = row
    paint = Paint.of(sys.stdout)
    state = ("down", RED) if _is_down(row) else ("up", GREEN) if entry.active else ("off", DIM)
    print(f"{paint(entry.instance.slug, BOLD)}  {paint(*state)}  {safe(entry.instance.name)}\n")
    for name, text in _details(entry, facts):
        print(f"{paint(name.ljust(18), DIM)}{text}")
    for problem in problems:
        print(
            f"\n{paint('problem', RED) if problem.serious else paint('note', YELLOW)}  {safe(problem.what)}"
        )
        print(f"{paint('fix', DIM)}      {safe(problem.fix)}")
    return int(_is_down(row))


def _details(entry: Entry, facts: Facts) -> list[tuple[str, str]]:
    heard = "never" if facts.silent_s is None else f"{ago(facts.silent_s)} ago"
    held = {None: "", 0: ", polls are not held"}.get(
        facts.hold_ms, f", polls held for {(facts.hold_ms or 0) / 1000:g} s"
    )
    waiting = f"{facts.events} ({facts.events_bytes:,} bytes)"
    if facts.oldest_s is not None:
        waiting += f", the oldest for {ago(facts.oldest_s)}"
    return [
        ("defined in", "relay.toml" if entry.origin.value == "file" else "Redis"),
        ("mod keys", str(len(entry.keys))),
        ("game server", f"heard of {heard}{held}"),
        ("mod version", safe(facts.mod_version) or "it has not said"),
        ("players online", "not known" if facts.players is None else str(facts.players)),
        ("link to Takaro", (facts.link or "none yet") if facts.uplink else "none: nobody owns it"),
        ("Takaro's id", facts.game_server_id or "none yet"),
        ("owner", facts.uplink or "nobody"),
        ("events waiting", waiting),
        ("commands waiting", str(facts.commands)),
        ("dead letters", str(facts.dead)),
    ]


def _plain(row: Row) -> dict[str, Any]:
    entry, facts, problems = row
    at = {"now_ms": "now", "contact_ms": "last_contact", "oldest_ms": "oldest_event"}
    told = {at.get(name, name): value for name, value in asdict(facts).items()}
    for name in at.values():
        told[name] = told[name] and moment(told[name])
    return {
        "slug": entry.instance.slug,
        "name": entry.instance.name,
        "origin": entry.origin.value,
        "served": entry.active,
        "up": entry.active and not _is_down(row),
        **told,
        "problems": [asdict(problem) for problem in problems],
    }
