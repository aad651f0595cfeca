"""What the admin API and `dayz-relay instance` show of an instance: no secret, and the state of both
sides."""

from datetime import UTC, datetime

from pydantic import BaseModel

from services.relay.instances.entries import ServedEntry
from services.relay.instances.facts import facts_of
from services.relay.store.client import Store


class KeyView(BaseModel):
    """One mod key of the instance. `added` is None for the keys of relay.toml: it is unknown."""

    added: datetime | None
    expires: datetime | None


class InstanceView(BaseModel):
    """One instance. `served` is false if it is disabled, or if `note` gives a reason not to serve it."""

    slug: str
    name: str
    origin: str
    """"file": defined in relay.toml; "redis": added by the API or `dayz-relay instance add`."""
    disabled: bool
    served: bool
    note: str
    has_registration_token: bool
    mod_keys: list[KeyView]
    link: str
    """State of the link to Takaro; "ready": linked, "": no uplink owns the instance."""
    game_server_id: str | None
    last_contact: datetime | None
    """When the mod was last heard of, to within some seconds."""
    events_waiting: int
    commands_waiting: int


async def overview(store: Store, entry: ServedEntry) -> InstanceView:
    """The view of the instance now. Raises StoreError."""
    facts = await facts_of(store, entry.instance.slug)
    return InstanceView(
        slug=entry.instance.slug,
        name=entry.instance.name,
        origin=entry.origin.value,
        disabled=entry.disabled,
        served=entry.active,
        note=entry.note,
        has_registration_token=entry.instance.registration_token is not None,
        mod_keys=[
            KeyView(added=_moment(key.added_ms), expires=_moment(key.expires_ms)) for key in entry.keys
        ],
        link=facts.link if facts.uplink else "",
        game_server_id=facts.game_server_id or None,
        last_contact=_moment(facts.contact_ms),
        events_waiting=facts.events,
        commands_waiting=facts.commands,
    )


def _moment(at_ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms else None
