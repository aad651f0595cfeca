"""`dayz-relay players`: who is online, as the relay knows it."""

import asyncio
from typing import Any

from services.cli.opened_relay import OpenedRelay
from services.cli.tables import Rows, label, show
from services.cli.terminal import ago, print_json
from services.relay.instances.entries import active
from services.relay.instances.players import online_players

HEAD = ("SERVER", "NAME", "GAME ID", "PING", "WHERE")


async def run(relay: OpenedRelay, *, slug: str | None, as_json: bool) -> int:
    """Prints them once. Raises StoreError, NoSuchInstance."""
    slugs = [(await relay.entry(slug)).instance.slug] if slug else list(active(await relay.entries()))
    found = dict(zip(slugs, await asyncio.gather(*(_known(relay, slug) for slug in slugs)), strict=True))
    if as_json:
        print_json(found)
        return 0
    rows = [_row(slug, player) for slug, known in found.items() for player in known["players"]]
    if rows:
        show(Rows(HEAD, rows, flexible="NAME"))
    for slug, known in found.items():
        count, age_s = len(known["players"]), known["age_s"]
        said = "not known yet, Takaro asks within a minute"
        if age_s is not None:
            said = f"{count} online, as of {ago(age_s)} ago"
        show(label(f"{slug}: {said}", "dim"))
    return 0


async def _known(relay: OpenedRelay, slug: str) -> dict[str, Any]:
    """The players with their last positions, and how old the list is. Raises StoreError."""
    age_s, players = await online_players(relay.store, slug)
    return {"players": players, "age_s": None if age_s is None else round(age_s, 1)}


def _row(slug: str, player: dict[str, Any]) -> tuple[str, ...]:
    place = player["position"]
    where = f"{place['x']:.0f} / {place['z']:.0f}" if place else ""
    ping = "" if player.get("ping") is None else f"{player['ping']:g} ms"
    return slug, str(player.get("name", "")), str(player["gameId"]), ping, where
