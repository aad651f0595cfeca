"""`dayz-relay tail`: events as they are accepted and delivered, commands as they end."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.text import Text

from services.cli.opened_relay import OpenedRelay
from services.cli.tables import Rows, label, show
from services.cli.terminal import clock, complain, print_json, safe
from services.cli.watching import until_nobody_watches
from services.relay.instances.accepted import follow
from services.relay.instances.activity import DEAD, DELIVERED, EXPIRED, WAITING, ActivityEntry, watch
from services.relay.instances.entries import active
from services.relay.protocol.errors import ConfigError
from services.relay.protocol.vocabulary import EventType
from services.relay.store.client import Store

MOST_AT_ONCE = 50
"""Each instance that is watched costs a connection to Redis."""

NAMED = 5
REMEMBERED_WITHIN_S = 1.5
"""Time in which every owner publishes what it remembers."""

MOST_KNOWN = 5_000
"""Maximum number of remembered events: a second line of an event says that it is the second."""

SHOWN_ABOVE = "shown above as waiting"
"""The detail in the second line of an event."""

_STATES = {WAITING: "waiting for Takaro", DEAD: "put aside"}

TO_TAKARO, TO_GAME = "\N{RIGHTWARDS ARROW}", "\N{LEFTWARDS ARROW}"

Heard = tuple[str, ActivityEntry]
_Key = tuple[str, str, bytes]


async def run(relay: OpenedRelay, *, named: Sequence[str], kinds: Sequence[str] | None, as_json: bool) -> int:
    """Print until Ctrl-C. Raises ConfigError, StoreError, NoSuchInstance."""
    slugs = [(await relay.entry(slug)).instance.slug for slug in dict.fromkeys(named)]
    slugs = slugs or list(active(await relay.entries()))
    if len(slugs) > MOST_AT_ONCE:
        example = f"`dayz-relay tail {slugs[0]}`"
        raise ConfigError(f"there are {len(slugs)} servers: name some, as in {example}")
    if not slugs:
        complain("there is no server to watch")
        return 0
    if sys.stdout.isatty() and not as_json:
        complain(_what_is_shown(slugs))
    await until_nobody_watches(_show(relay.store, slugs, kinds, as_json=as_json))
    return 0


async def _show(store: Store, slugs: Sequence[str], kinds: Sequence[str] | None, *, as_json: bool) -> None:
    widest, known = max(map(len, slugs)), Known()
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        for slug in slugs:
            for source in (watch, follow):
                group.create_task(_listen(source(store, slug), slug, heard))
        async for slug, passed in in_order(heard):
            one = known.told(slug, passed)
            if one is None or (kinds and one.what not in kinds):
                continue
            if as_json:
                print_json({"instance": slug, "at": _moment(one), **_plain(one)}, indent=False)
            else:
                show(line(slug.ljust(widest), one))


def _what_is_shown(slugs: Sequence[str]) -> str:
    whom = ", ".join(slugs) if len(slugs) <= NAMED else f"{len(slugs)} servers"
    arrows = f"{TO_TAKARO} events for Takaro, {TO_GAME} commands for the game server"
    return f"watching {whom}; {arrows}; Ctrl-C ends it"


async def _listen(source: AsyncIterator[list[ActivityEntry]], slug: str, heard: asyncio.Queue[Heard]) -> None:
    async for passed in source:
        for one in passed:
            heard.put_nowait((slug, one))


class Known:
    """Remembers which events were shown as waiting, and which were delivered.

    The two come from different streams, and events have no number in either: they are matched by content.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Key, int] = {}  # number of equal events
        self._passed: dict[_Key, int] = {}  # when (ms)

    def told(self, slug: str, one: ActivityEntry) -> ActivityEntry | None:
        """The entry to show. None: the event is shown as delivered already."""
        key = (slug, one.what, orjson.dumps(one.data, option=orjson.OPT_SORT_KEYS))
        if one.state == WAITING:
            if self._passed.get(key, -1) >= one.at_ms:
                del self._passed[key]
                return None
            _keep(self._waiting, key, self._waiting.get(key, 0) + 1)
        elif one.kind == "event" and one.state in (DELIVERED, EXPIRED):
            if waiting := self._waiting.pop(key, 0):
                if waiting > 1:
                    self._waiting[key] = waiting - 1
                return one._replace(detail=SHOWN_ABOVE)
            _keep(self._passed, key, one.at_ms)
        return one


def _keep(kept: dict[_Key, int], key: _Key, value: int) -> None:
    """Set the value as the newest; delete the oldest if there are too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > MOST_KNOWN:
        del kept[next(iter(kept))]


async def in_order(heard: asyncio.Queue[Heard]) -> AsyncIterator[Heard]:
    """Sort the remembered entries first: they come server by server, perhaps behind newer ones."""
    await asyncio.sleep(REMEMBERED_WITHIN_S)
    remembered = [heard.get_nowait() for _ in range(heard.qsize())]
    for one in sorted(remembered, key=lambda one: one[1].at_ms):
        yield one
    while True:
        yield await heard.get()


def line(slug: str, one: ActivityEntry) -> Rows:
    """One event or command, whatever players wrote. A terminal wraps only its words."""
    good = one.state in (DELIVERED, "answered")
    state = _STATES.get(one.state, one.state.replace("_", " ")) + (
        f" after {one.took_ms} ms" if one.took_ms else ""
    )
    if one.detail:
        state += f": {one.detail}"
    colour = "dim" if good else "yellow" if one.kind == "event" else "red"
    arrow = TO_TAKARO if one.kind == "event" else TO_GAME
    cells = (
        label(clock(_moment(one)), "dim"),
        label(slug, "bold"),
        label(f"{arrow} {one.what:<22}"),
        Text.assemble(f"{safe(words(one))}  ", (safe(f"({state})"), colour)),
    )
    return Rows(("TIME", "SERVER", "WHAT", "WORDS"), [cells], flexible="WORDS", show_head=False)


def _moment(one: ActivityEntry) -> str:
    at = datetime.fromtimestamp(one.at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def words(one: ActivityEntry) -> str:
    """The part that a person wants to read."""
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


def _plain(one: ActivityEntry) -> dict[str, Any]:
    told = one._asdict()
    del told["at_ms"]
    return told
