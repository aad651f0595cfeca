"""`dayz-relay players`: who is online, as the relay knows it."""

from typing import Any

from services.cli.api import RelayApi
from services.cli.tables import Rows, label, show
from services.cli.terminal import ago, print_json

HEAD = ("SERVER", "NAME", "GAME ID", "PING", "WHERE")


async def run(relay: RelayApi, *, slug: str | None, as_json: bool) -> None:
    """Print them once."""
    slugs = [slug] if slug else [one["slug"] for one in await relay.servers() if one["served"]]
    found = await relay.of_each(slugs, "/players")
    if as_json:
        print_json(found)
        return
    rows = [_row(slug, player) for slug, known in found.items() for player in known["players"]]
    if rows:
        show(Rows(HEAD, rows, flexible="NAME"))
    for slug, known in found.items():
        said = "not known yet, Takaro asks within a minute"
        if known["age_s"] is not None:
            said = f"{len(known['players'])} online, as of {ago(known['age_s'])} ago"
        show(label(f"{slug}: {said}", "dim"))


def _row(slug: str, player: dict[str, Any]) -> tuple[str, ...]:
    place = player["position"]
    where = f"{place['x']:.0f} / {place['z']:.0f}" if place else ""
    ping = "" if player["ping"] is None else f"{player['ping']:g} ms"
    return slug, player["name"], player["game_id"], ping, where
