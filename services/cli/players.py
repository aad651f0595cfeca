"""`dayz-relay players`: who is online, as the relay knows it."""

import asyncio
import time
from typing import Any

import orjson

from services.cli.opened_relay import OpenedRelay
from services.cli.tables import Rows, label, show
from services.cli.terminal import ago, print_json
from services.relay.instances.entries import active
from services.relay.protocol.keys import keys_of
from services.relay.store.client import pairs
from services.uplink.requests.mirror.mirror import Mirror

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
    mirror, now_s = Mirror(), time.time()
    stored = await relay.store.send("HGETALL", keys_of(slug).mirror)
    mirror.restore({name.decode(): value for name, value in pairs(stored)}, now_s)
    listed_s, payload = mirror.listed
    players = [
        {**player, "position": mirror.position_of(player["gameId"])} for player in orjson.loads(payload)
    ]
    return {"players": players, "age_s": None if listed_s is None else round(now_s - listed_s, 1)}


def _row(slug: str, player: dict[str, Any]) -> tuple[str, ...]:
    place = player["position"]
    where = f"{place['x']:.0f} / {place['z']:.0f}" if place else ""
    ping = "" if player.get("ping") is None else f"{player['ping']:g} ms"
    return slug, str(player.get("name", "")), str(player["gameId"]), ping, where
