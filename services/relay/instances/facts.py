"""The facts of an instance in Redis, read with one script: for the page, the command line and the API."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.relay.instances.failed_commands import KEPT_MS
from services.relay.protocol.keys import keys_of
from services.relay.protocol.vocabulary import SILENT_AFTER_S
from services.relay.store.client import Script, Store

_FACTS = Script("facts")


@dataclass(frozen=True, slots=True)
class Facts:
    """What Redis knows of one instance, in the order of facts.lua's reply.

    Times are ms on Redis' clock; "" and None mean unknown, or none.
    """

    now_ms: int
    uplink: str  # name of the uplink that owns the instance
    link: str  # state of the link to Takaro as an uplink last wrote it. Without an owner it is out of date.
    game_server_id: str
    link_why: str  # what is wrong with the link, as an uplink last wrote it
    contact_ms: int | None  # when the mod was last heard of, to within some seconds
    events: int
    events_bytes: int
    oldest_ms: int | None  # when the oldest waiting event was accepted
    commands: int
    dead: int
    players: int | None  # online; None also while the mod is silent: those that it last named may be gone
    mod_version: str
    hold_ms: int | None  # how long a poll that finds nothing may be held; 0: not at all
    address: str = ""  # address from which the mod last called
    made_up: int = 0  # number of positions that the mirror made up for Takaro since the instance exists
    made_up_ms: int | None = None  # when the last of them was made up
    failed_commands: int = 0  # writes of the last 24 hours that the mod refused, or that have no result

    @property
    def silent_s(self) -> float | None:
        return None if self.contact_ms is None else max(0, self.now_ms - self.contact_ms) / 1000

    @property
    def is_silent(self) -> bool:
        """Whether the mod has not called for SILENT_AFTER_S, or never."""
        return self.silent_s is None or self.silent_s > SILENT_AFTER_S

    @property
    def made_up_s(self) -> float | None:
        return None if self.made_up_ms is None else max(0, self.now_ms - self.made_up_ms) / 1000

    @property
    def oldest_s(self) -> float | None:
        return None if self.oldest_ms is None else max(0, self.now_ms - self.oldest_ms) / 1000


async def facts_of(store: Store, slug: str) -> Facts:
    """The facts of one instance. Raises StoreError."""
    keys = keys_of(slug)
    found = await store.run(
        _FACTS,
        (
            *(keys.lease, keys.link, keys.contact, keys.intake, keys.events),
            *(keys.waiting, keys.dead, keys.mirror, keys.mod, keys.failed),
        ),
        KEPT_MS,
    )
    values: list[Any] = [one.decode(errors="replace") if isinstance(one, bytes) else one for one in found]
    known = Facts(*values)
    return replace(known, players=None) if known.is_silent else known


async def facts_of_all(store: Store, slugs: Sequence[str]) -> dict[str, Facts]:
    """The facts of several instances by slug, read in one pipeline. Raises StoreError."""
    found = await asyncio.gather(*(facts_of(store, slug) for slug in slugs))
    return dict(zip(slugs, found, strict=True))
