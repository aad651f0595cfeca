"""`dayz-relay tail`: events as they are accepted and delivered, commands as they end."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from rich.text import Text

from services.cli.api import RelayApi
from services.cli.stream import Message, follow
from services.cli.tables import Rows, label, show
from services.cli.terminal import clock, complain, print_json, safe
from services.cli.watching import until_nobody_watches
from services.relay.protocol.ends import STATE_WORDS
from services.relay.protocol.errors import ConfigError
from services.relay.protocol.vocabulary import EventType

MOST_AT_ONCE = 50  # number of servers. The relay watches no more than 100 for all who look.

NAMED = 5
REMEMBERED_WITHIN_S = 1.5  # time in which every owner publishes what it remembers

MOST_KNOWN = 5_000
"""Maximum number of remembered events: a second line of an event says that it is the second."""

SHOWN_ABOVE = "shown above as waiting"  # the detail in the second line of an event

TO_TAKARO, TO_GAME = "\N{RIGHTWARDS ARROW}", "\N{LEFTWARDS ARROW}"

Entry = dict[str, Any]
"""An event or a command as the API streams it."""


async def run(relay: RelayApi, *, named: Sequence[str], kinds: Sequence[str] | None, as_json: bool) -> int:
    """Print until Ctrl-C. Raises ConfigError."""
    named = list(dict.fromkeys(named))
    slugs = named or [one["slug"] for one in await relay.servers() if one["served"]]
    if len(slugs) > MOST_AT_ONCE:
        example = f"`dayz-relay tail {slugs[0]}`"
        raise ConfigError(f"there are {len(slugs)} servers: name some, as in {example}")
    for slug in named:
        await relay.get(relay.path(slug))  # raises NoSuchInstance
    if not slugs:
        complain("there is no server to watch")
        return 0
    paths = [relay.path(slug, of) for slug in named for of in ("/events", "/commands?reads=true")]
    paths = paths or ["/stream?kinds=event,command,read"]
    if sys.stdout.isatty() and not as_json:
        whom = ", ".join(slugs) if len(slugs) <= NAMED else f"{len(slugs)} servers"
        arrows = f"{TO_TAKARO} events for Takaro, {TO_GAME} commands for the game server"
        complain(f"watching {whom}; {arrows}; Ctrl-C ends it")
    await until_nobody_watches(_show(relay, paths, max(map(len, slugs)), kinds, as_json=as_json))
    return 0


async def _show(
    relay: RelayApi, paths: Sequence[str], widest: int, kinds: Sequence[str] | None, *, as_json: bool
) -> None:
    seen = Seen()
    heard: asyncio.Queue[Entry] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        for path in paths:
            group.create_task(_listen(follow(relay, path), heard))
        async for entry in in_order(heard):
            shown = seen.to_show(entry)
            if shown is None or (kinds and what(shown) not in kinds):
                continue
            if as_json:
                print_json(shown, indent=False)
            else:
                show(line(shown, widest))


async def _listen(messages: AsyncIterator[Message], heard: asyncio.Queue[Entry]) -> None:
    async for message in messages:
        if message.name in ("event", "command"):
            heard.put_nowait(message.data)


class Seen:
    """Remembers what was shown: a relay that was started again sends its last entries anew.

    An event that waited gets another id when it ends. The two are matched by content.
    """

    def __init__(self) -> None:
        self._ids: dict[Any, Any] = {}
        self._waiting: dict[Any, int] = {}  # number of equal events
        self._passed: dict[Any, datetime] = {}

    def to_show(self, entry: Entry) -> Entry | None:
        """The entry to show. None: it was shown, or its event is shown as delivered."""
        id = entry["slug"], entry["id"]
        if id in self._ids:
            return None
        _keep(self._ids, id, True)
        if "type" not in entry:
            return entry
        key = entry["slug"], entry["type"], orjson.dumps(entry["data"], option=orjson.OPT_SORT_KEYS)
        if entry["state"] == "waiting":
            if key in self._passed and self._passed[key] >= _at(entry):
                del self._passed[key]
                return None
            _keep(self._waiting, key, self._waiting.pop(key, 0) + 1)
        elif entry["state"] in ("delivered", "expired"):
            if waiting := self._waiting.pop(key, 0):
                if waiting > 1:
                    self._waiting[key] = waiting - 1
                return {**entry, "detail": SHOWN_ABOVE}
            _keep(self._passed, key, _at(entry))
        return entry


def _keep(kept: dict[Any, Any], key: Any, value: Any) -> None:
    """Set the value as the newest; delete the oldest if there are too many."""
    kept.pop(key, None)
    kept[key] = value
    if len(kept) > MOST_KNOWN:
        del kept[next(iter(kept))]


async def in_order(heard: asyncio.Queue[Entry]) -> AsyncIterator[Entry]:
    """Sort the remembered entries first: they come server by server, perhaps behind newer ones."""
    await asyncio.sleep(REMEMBERED_WITHIN_S)
    remembered = [heard.get_nowait() for _ in range(heard.qsize())]
    for one in sorted(remembered, key=_at):
        yield one
    while True:
        yield await heard.get()


def _at(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry["at"])


def what(entry: Entry) -> str:
    """The type of an event, the action of a command."""
    return str(entry.get("type") or entry["action"])


def line(entry: Entry, widest: int = 0) -> Rows:
    """One event or command, whatever players wrote. A terminal wraps only its words."""
    is_event, state = "type" in entry, entry["state"]
    ended, _, why = str(STATE_WORDS.get(state, state)).partition(": ")
    if entry["took_ms"]:
        ended += f" after {entry['took_ms']} ms"
    ended = ": ".join(filter(None, (ended, why, entry["detail"])))
    good = state in ("delivered", "answered")
    colour = "dim" if good else "yellow" if is_event else "red"
    said = safe(words(entry))
    cells = (
        label(clock(entry["at"]), "dim"),
        label(entry["slug"].ljust(widest), "bold"),
        label(f"{TO_TAKARO if is_event else TO_GAME} {what(entry):<22}"),
        Text.assemble(said, "  " if said else "", (safe(f"({ended})"), colour)),
    )
    return Rows(("TIME", "SERVER", "WHAT", "WORDS"), [cells], flexible="WORDS", show_head=False)


def words(entry: Entry) -> str:
    """The part that a person wants to read."""
    data = entry["data"] if "type" in entry else entry["arguments"]
    who = _name(data.get("player"))
    match what(entry):
        case EventType.CHAT_MESSAGE:
            return f"[{data.get('channel', '')}] {who or '?'}: {data.get('msg', '')}"
        case EventType.PLAYER_DEATH:
            by, said = _name(data.get("attacker")), data.get("msg")
            return f"{who} died" + (f", by {by}" if by else "") + (f" ({said})" if said else "")
        case EventType.ENTITY_KILLED:
            return f"{who} killed {data.get('entity', '')} with {data.get('weapon') or 'nothing'}"
        case EventType.PLAYER_CONNECTED | EventType.PLAYER_DISCONNECTED:
            player = data.get("player")
            return f"{who} ({player.get('gameId', '') if isinstance(player, dict) else ''})"
        case EventType.LOG:
            return str(data.get("msg", ""))
    return " ".join(f"{name}={value}" for name, value in data.items())


def _name(player: Any) -> str:
    return str(player.get("name", "")) if isinstance(player, dict) else ""
