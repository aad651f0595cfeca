"""`dayz-relay status`: all servers in a table that renews itself, or one in detail; `dayz-relay fleet`."""

import asyncio
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from services.cli.api import RelayApi
from services.cli.at_relay import Output
from services.cli.tables import Part, Rows, console_for, cut, label
from services.cli.terminal import age_s, many, runnable, safe
from services.cli.watching import until_nobody_watches
from services.relay.protocol.errors import RelayError
from services.relay.protocol.link_states import LinkState, link_word
from services.relay.protocol.vocabulary import SILENT_AFTER_S, Origin
from services.relay.service import logs
from services.relay.service.durations import span

EVERY_S = 1.0
ANSWER_WITHIN_S = 3.0  # a relay that takes longer is shown as one that does not answer

Server = Mapping[str, Any]
"""A server as the admin API shows it, and all servers in numbers."""

COLOURS = {"down": "red", "attention": "yellow", "up": "green", "disabled": "dim"}
"""The states; what needs somebody comes first."""

HEAD = ("STATE", "SLUG", "NAME", "GAME SERVER", "TAKARO", "PLAYERS", "WAITING", "DEAD", "UPLINK")
NUMBERS = ("PLAYERS", "WAITING", "DEAD")
NAME_COLUMNS = 28
NAMES_FROM_COLUMNS = 88  # number of columns. A narrower terminal has no room for the names.

OLD_S = 60.0

_LINKS: dict[str, str] = {LinkState.READY: "green", LinkState.REFUSED: "red"}
_PLACES: dict[str, str] = {origin: origin.words for origin in Origin}


async def run(relay: RelayApi, *, slug: str | None, once: bool, as_json: bool) -> Output | int:
    """All servers, or one. The exit code is 1 if a server is down, else 0."""
    if slug:
        return await _one(relay, slug)
    if sys.stdout.isatty() and not once and not as_json:
        await until_nobody_watches(_watch(relay, *await _read(relay)))
        return 0
    found, fleet = await asyncio.gather(relay.servers(), relay.get("/fleet"))
    order = list(COLOURS)
    servers = sorted(found, key=lambda one: (order.index(one["state"]), one["slug"]))
    columns = console_for(sys.stdout).width if sys.stdout.isatty() else None
    parts = [] if as_json else [*_noted(fleet), *overview(servers, fleet, columns)]
    return Output(servers, *parts, code=int(fleet["states"]["down"] > 0))


async def _read(relay: RelayApi) -> tuple[list[Server], Server]:
    """As many servers as fit the terminal (all could be a megabyte), and the numbers of the fleet."""
    most = console_for(sys.stdout).height
    fleet = await relay.get("/fleet")
    servers: list[Server] = []
    for one in COLOURS:
        if fleet["states"][one] and len(servers) < most:
            servers += await relay.servers(most - len(servers), state=one)
    return servers, fleet


async def _watch(relay: RelayApi, servers: list[Server], fleet: Server) -> None:
    """Show all servers until cancelled. If the relay is away, a line says how old they are, and why."""
    seen_s, trouble = time.monotonic(), ""
    console = console_for(sys.stdout)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            above = [label(logs.clean(trouble), "red")] if trouble else []
            parts: list[Part] = [*above, *_noted(fleet)]
            room = console.height - 2 - len(parts)
            live.update(Group(*parts, *overview(servers, fleet, console.width, room)), refresh=True)
            await asyncio.sleep(EVERY_S)
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    servers, fleet = await _read(relay)
                seen_s, trouble = time.monotonic(), ""
            except (RelayError, TimeoutError) as error:
                reason = str(error) or "the relay does not answer"
                trouble = f"this is {span(time.monotonic() - seen_s)} old: {reason}"


def overview(
    servers: Sequence[Server], fleet: Server, columns: int | None = None, most: int | None = None
) -> list[Part]:
    """A summary, and as many of the servers as fit into `most` lines; without it all."""
    if not fleet["total"]:
        return [runnable("There is no instance yet: `dayz-relay instance add` adds one.")]
    in_trouble = fleet["states"]["attention"] + fleet["states"]["down"]
    shown = servers if most is None else servers[: max(1, most - (5 if in_trouble else 4))]
    has_names = columns is None or columns >= NAMES_FROM_COLUMNS
    head = [title for title in HEAD if title != "NAME" or has_names]
    cells = [[row[title] for title in head] for row in map(_row, shown)]
    table = Rows(head, cells, numbers=NUMBERS, flexible="NAME")
    parts: list[Part] = [Text(summary(servers, fleet), "bold"), "", table]
    if (more := fleet["total"] - len(shown)) > 0:
        parts.append(Text(runnable(f"and {more:,} more: `dayz-relay status | less`"), "dim"))
    if in_trouble:
        parts.append(label(runnable("`dayz-relay status SLUG` says what is wrong and how to fix it"), "dim"))
    return parts


def summary(servers: Sequence[Server], fleet: Server) -> str:
    """How many are up, and how many players are online, as far as that is known."""
    states = fleet["states"]
    order = ("up", "attention", "down", "disabled")
    counts = [f"{states[one]:,} {one}" for one in order if states[one] or one == "up"]
    known = fleet["players_online"] or any(one["players_online"] is not None for one in servers)
    return f"{', '.join(counts)}; {many(fleet['players_online'], 'player') if known else '? players'}"


def _row(server: Server) -> dict[str, str | Text]:
    silent_s, players, dead = server["mod"]["silent_s"], server["players_online"], server["dead_letters"]
    fresh = silent_s is not None and silent_s <= SILENT_AFTER_S
    old_s = server["oldest_event_s"] or 0.0
    waiting = f"{server['events_waiting']} ({span(old_s)})" if server["events_waiting"] else "0"
    return {
        "STATE": state(server),
        "SLUG": server["slug"],
        "NAME": cut(safe(server["name"]), NAME_COLUMNS),
        "GAME SERVER": label(
            "never" if silent_s is None else f"{span(silent_s)} ago", "green" if fresh else "red"
        ),
        "TAKARO": link(server),
        "PLAYERS": "?" if players is None else str(players),
        "WAITING": label(waiting, "yellow" if old_s > OLD_S else ""),
        "DEAD": label(str(dead), "yellow" if dead else ""),
        "UPLINK": server["link"]["owner"] or label("nobody", "red"),
    }


def _noted(fleet: Server) -> list[Text]:
    return [
        Text.assemble(("note", "yellow"), f"  {safe(note['text'])}: {safe(runnable(note['fix']))}")
        for note in fleet["problems"]
    ]


async def _one(relay: RelayApi, slug: str) -> Output:
    # In this order: only a read of all servers finds out whose wrong key somebody calls with.
    fleet: Server = await relay.get("/fleet")
    server: Server = await relay.get(relay.path(slug))
    parts: list[Part] = [*_noted(fleet), ""] if fleet["problems"] else []
    parts += described(server)
    for problem in server["problems"]:
        mark = ("problem", "red") if problem["serious"] else ("note", "yellow")
        parts += ["", Text.assemble(mark, f"  {safe(problem['text'])}")]
        parts.append(Text.assemble(("fix", "dim"), f"      {safe(runnable(problem['fix']))}"))
    return Output(server, *parts, code=int(server["state"] == "down"))


def described(server: Server) -> list[Part]:
    """One server in detail, without its problems."""
    slug_in_bold = (server["slug"], "bold")
    head = Text.assemble(slug_in_bold, "  ", state(server), f"  {safe(server['name'])}")
    return [head, "", *_named(_details(server))]


def _named(details: Iterable[tuple[str, str]]) -> list[Text]:
    """Values behind their names, but for those that are empty."""
    return [Text.assemble((name.ljust(18), "dim"), safe(text)) for name, text in details if text]


def _details(server: Server) -> list[tuple[str, str]]:
    mod, made_up = server["mod"], server["made_up_positions"]
    heard = "never called" if mod["silent_s"] is None else f"heard of {span(mod['silent_s'])} ago"
    held = {None: "", 0: ", polls are not held"}.get(
        mod["hold_s"], f", polls held for {mod['hold_s'] or 0:g} s"
    )
    waiting = f"{server['events_waiting']} ({server['events_waiting_bytes']:,} bytes)"
    if server["oldest_event_s"] is not None:
        waiting += f", the oldest for {span(server['oldest_event_s'])}"
    return [
        ("defined in", _PLACES.get(server["origin"], server["origin"])),
        ("mod keys", str(len(server["mod_keys"]))),
        ("game server", f"{heard}{held}"),
        ("mod version", mod["version"] or "it has not said"),
        ("players online", "?" if server["players_online"] is None else str(server["players_online"])),
        ("Takaro", link(server).plain),
        ("Takaro token", "yes" if server["has_registration_token"] else "none"),
        ("Takaro's id", server["link"]["game_server_id"] or "none yet"),
        ("uplink", server["link"]["owner"] or "nobody"),
        ("events waiting", waiting),
        ("commands waiting", str(server["commands_waiting"])),
        ("dead letters", str(server["dead_letters"])),
        (
            "positions made up",
            f"{made_up}, the last {span(age_s(server['last_made_up']))} ago" if made_up else "none",
        ),
        ("note", server["note"]),
    ]


def state(server: Server) -> Text:
    return Text(server["state"], COLOURS[server["state"]])


def link(server: Server) -> Text:
    """The link to Takaro. Without an owner the stored state is out of date."""
    link = server["link"]
    if not link["owner"]:
        return label("no link", "red")
    return label(link_word(link["state"]), _LINKS.get(link["state"], "yellow"))


async def whole_fleet(relay: RelayApi) -> Output:
    """All servers in numbers, and the relay itself."""
    fleet: Server = await relay.get("/fleet")
    about = await relay.get("/relay")
    causes = [f"{count:,} {cause.replace('_', ' ')}" for cause, count in fleet["causes"].items() if count]
    details = [
        ("causes", ", ".join(causes)),
        ("events waiting", f"{fleet['events_waiting']:,}"),
        ("dead letters", f"{fleet['dead_letters']:,}"),
        ("version", about["version"]),
        ("store", about["store"]),
        ("uplinks", ", ".join(about["uplinks"]) or "none"),
        ("relay.toml", about["settings_refused"] or "is in effect"),
        ("needs a restart", ", ".join(about["restart_needed_for"])),
    ]
    return Output(fleet, *_noted(fleet), Text(summary([], fleet), "bold"), "", *_named(details))
