"""All servers as a table for a terminal, in the words of the status page."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from services.cli.api import RelayApi
from services.cli.tables import Part, Rows, cut, label
from services.cli.terminal import many, runnable, safe
from services.relay.protocol.link_states import LinkState, link_word
from services.relay.protocol.vocabulary import SILENT_AFTER_S
from services.relay.service.durations import span

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


async def look_at_all(relay: RelayApi) -> tuple[list[Server], Server]:
    """All servers, those with problems first, and the numbers of the fleet."""
    servers, fleet = await asyncio.gather(relay.servers(), relay.get("/fleet"))
    order = list(COLOURS)
    return sorted(servers, key=lambda one: (order.index(one["state"]), one["slug"])), fleet


async def look_at_first(relay: RelayApi, most: int) -> tuple[list[Server], Server]:
    """As `look_at_all`, but not more servers than are shown: the others may be a megabyte."""
    fleet = await relay.get("/fleet")
    servers: list[Server] = []
    for state in COLOURS:
        if fleet["states"][state] and len(servers) < most:
            servers += await relay.servers(most - len(servers), state=state)
    return servers, fleet


def state(server: Server) -> Text:
    return Text(server["state"], COLOURS[server["state"]])


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
    told = [f"{states[one]:,} {one}" for one in order if states[one] or one == "up"]
    known = fleet["players_online"] or any(one["players_online"] is not None for one in servers)
    return f"{', '.join(told)}; {many(fleet['players_online'], 'player') if known else '? players'}"


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


def link(server: Server) -> Text:
    """The link to Takaro. Without an owner the stored state is out of date."""
    link = server["link"]
    if not link["owner"]:
        return label("no link", "red")
    return label(link_word(link["state"]), _LINKS.get(link["state"], "yellow"))
