"""`dayz-relay tail`: events and commands as they pass."""

import asyncio
import contextlib
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from services.cli.desk import opened
from services.cli.terminal import BOLD, DIM, RED, YELLOW, Paint, clock, complain, moment, print_json, safe
from services.relay.errors import ConfigError
from services.relay.instances.entries import active
from services.relay.instances.watching import DELIVERED, Passed, watch
from services.relay.settings import Settings
from services.relay.store import Store
from services.relay.vocabulary import EventType

MOST_AT_ONCE = 50
"""Each instance that is watched costs a connection to Redis."""

Heard = tuple[str, list[Passed]]


def run(args: Namespace, settings: Settings) -> int:
    """Until Ctrl-C. Raises ConfigError, StoreError, NoSuchInstance."""
    with contextlib.suppress(KeyboardInterrupt):  # how watching ends
        return asyncio.run(_run(args, settings))
    return 0


async def _run(args: Namespace, settings: Settings) -> int:
    async with opened(settings, args.data) as desk:
        slugs = (
            list(active(await desk.entries()))
            if not args.slug
            else [(await desk.entry(args.slug)).instance.slug]
        )
        if len(slugs) > MOST_AT_ONCE:
            raise ConfigError(f"there are {len(slugs)} servers: name one, as in `dayz-relay tail {slugs[0]}`")
        if sys.stdout.isatty() and not args.json:
            complain(f"watching {', '.join(slugs) or 'nothing: there is no server'}; Ctrl-C ends it")
        heard: asyncio.Queue[Heard] = asyncio.Queue()
        paint, widest = Paint.of(sys.stdout), max(map(len, slugs), default=0)
        async with asyncio.TaskGroup() as group:
            for slug in slugs:
                group.create_task(_listen(desk.store, slug, heard))
            while slugs:
                slug, passed = await heard.get()
                for one in _wanted(passed, args.type):
                    if args.json:
                        print_json({"instance": slug, "at": moment(one.at_ms), **_plain(one)}, indent=False)
                    else:
                        print(line(slug.ljust(widest), one, paint), flush=True)
    return 0


async def _listen(store: Store, slug: str, heard: asyncio.Queue[Heard]) -> None:
    async for passed in watch(store, slug):
        await heard.put((slug, passed))


def _wanted(passed: Sequence[Passed], types: Sequence[str] | None) -> list[Passed]:
    return [one for one in passed if not types or one.what in types]


def line(slug: str, one: Passed, paint: Paint) -> str:
    """One event or command, on one line whatever players wrote."""
    good = one.fate in (DELIVERED, "answered")
    fate = one.fate.replace("_", " ") + (f" after {one.took_ms} ms" if one.took_ms else "")
    if one.detail:
        fate += f": {one.detail}"
    colour = DIM if good else YELLOW if one.kind == "event" else RED
    arrow = "\N{RIGHTWARDS ARROW}" if one.kind == "event" else "\N{LEFTWARDS ARROW}"
    return "  ".join(
        [
            paint(clock(one.at_ms), DIM),
            paint(slug, BOLD),
            f"{arrow} {one.what:<22}",
            f"{safe(words(one))}  {paint(safe(f'({fate})'), colour)}",
        ]
    )


def words(one: Passed) -> str:
    """What of it a person wants to read."""
    data = one.data
    who = _name(data.get("player"))
    match one.what:
        case EventType.CHAT_MESSAGE:
            return f"[{data.get('channel', '')}] {who or '?'}: {data.get('msg', '')}"
        case EventType.PLAYER_DEATH:
            by = _name(data.get("attacker"))
            return f"{who} died" + (f", by {by}" if by else "") + _said(data)
        case EventType.ENTITY_KILLED:
            return f"{who} killed {data.get('entity', '')} with {data.get('weapon') or 'nothing'}"
        case EventType.PLAYER_CONNECTED | EventType.PLAYER_DISCONNECTED:
            return f"{who} ({_id(data.get('player'))})"
        case EventType.LOG:
            return str(data.get("msg", ""))
    return " ".join(f"{name}={value}" for name, value in data.items())


def _said(data: Any) -> str:
    return f" ({data['msg']})" if data.get("msg") else ""


def _name(player: Any) -> str:
    return str(player.get("name", "")) if isinstance(player, dict) else ""


def _id(player: Any) -> str:
    return str(player.get("gameId", "")) if isinstance(player, dict) else ""


def _plain(one: Passed) -> dict[str, Any]:
    told = one._asdict()
    del told["at_ms"]
    return told
