"""`dayz-relay say`: a message to everybody on a game server, and what became of it."""

from services.cli.opened_relay import OpenedRelay
from services.cli.tables import waiting_for
from services.cli.terminal import ago, complain, safe
from services.relay.instances.activity import ActivityEntry
from services.relay.instances.facts import facts_of
from services.relay.instances.messages import send_message
from services.relay.protocol.command_states import MAY_HAVE_RUN, NOT_DELIVERED
from services.relay.protocol.errors import ConfigError, NotCarriedOut, StoreError
from services.relay.protocol.vocabulary import Action
from services.relay.store.client import Store
from services.uplink.takaro.requests import BadRequest, read_request


async def run(relay: OpenedRelay, *, slug: str, text: str) -> int:
    """0 if the game server has said it. Raises ConfigError, StoreError, NoSuchInstance."""
    try:
        _, arguments = read_request(Action.SEND_MESSAGE, {"message": text})
    except BadRequest as error:
        raise ConfigError(str(error)) from None
    slug = (await relay.entry(slug)).instance.slug
    try:
        with waiting_for(slug):
            ended = await send_message(
                relay.store, slug, arguments["message"], relay.settings.limits.open_commands
            )
    except NotCarriedOut as error:
        raise StoreError(f"{NOT_DELIVERED}: {error}") from error
    if ended.state == "answered":
        print(f"said on {slug}, after {ended.took_ms / 1000:.1f} s")
        return 0
    complain(await _why(relay.store, slug, ended))
    return 1


async def _why(store: Store, slug: str, ended: ActivityEntry) -> str:
    if ended.state == "refused":
        return f"{slug} refused it: {safe(ended.detail)}"
    if ended.state == "queue_full":
        return f"{NOT_DELIVERED}: too many commands wait for {slug}"
    if ended.state == "not_delivered":
        silent_s = (await facts_of(store, slug)).silent_s
        heard = "has never called" if silent_s is None else f"was last heard of {ago(silent_s)} ago"
        return f"{NOT_DELIVERED}: the mod of {slug} {heard}"
    return MAY_HAVE_RUN
