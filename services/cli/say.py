"""`dayz-relay say`: a message to everybody on a game server, and what became of it."""

from typing import Any

from services.cli.api import RelayApi
from services.cli.tables import waiting_for
from services.cli.terminal import ago, complain, print_json, safe
from services.relay.protocol.command_states import MAY_HAVE_RUN, NOT_DELIVERED


async def run(relay: RelayApi, *, slug: str, text: str, as_json: bool) -> int:
    """Returns 0 if the game server has said it."""
    with waiting_for(slug):
        ended = await relay.post(relay.path(slug, "/messages"), {"text": text})
    said = ended["state"] == "answered"
    if as_json:
        print_json(ended)
    elif said:
        print(f"said on {slug}, after {ended['took_ms'] / 1000:.1f} s")
    else:
        complain(await _why(relay, slug, ended))
    return int(not said)


async def _why(relay: RelayApi, slug: str, ended: dict[str, Any]) -> str:
    if ended["state"] == "refused":
        return f"{slug} refused it: {safe(ended['detail'])}"
    if ended["state"] == "queue_full":
        return f"{NOT_DELIVERED}: too many commands wait for {slug}"
    if ended["state"] == "not_delivered":
        silent_s = (await relay.get(relay.path(slug)))["mod"]["silent_s"]
        heard = "has never called" if silent_s is None else f"was last heard of {ago(silent_s)} ago"
        return f"{NOT_DELIVERED}: the mod of {slug} {heard}"
    return MAY_HAVE_RUN
