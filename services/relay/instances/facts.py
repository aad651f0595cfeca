"""The facts of an instance in Redis, read with one script, and its state in one word."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum, unique
from typing import Any

from services.relay.protocol.keys import keys_of
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import SILENT_AFTER_S
from services.relay.store.client import Script, Store

FAILED_KEPT_MS = 24 * 3600 * 1000
MOST_FAILED = 1_000

_FACTS = Script("facts")


@dataclass(frozen=True, slots=True)
class Facts:
    """What Redis knows of one instance, in the order of facts.lua's reply. Times are ms on Redis' clock; ""
    and None mean unknown, or none."""

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
    def oldest_s(self) -> float | None:
        return None if self.oldest_ms is None else max(0, self.now_ms - self.oldest_ms) / 1000

    @property
    def made_up_s(self) -> float | None:
        return None if self.made_up_ms is None else max(0, self.now_ms - self.made_up_ms) / 1000


async def facts_of(store: Store, slug: str) -> Facts:
    """The facts of one instance. Raises StoreError."""
    of = keys_of(slug)
    keys = [of.lease, of.link, of.contact, of.intake, of.events]
    keys += [of.waiting, of.dead, of.mirror, of.mod, of.failed]
    found = await store.run(_FACTS, keys, FAILED_KEPT_MS)
    values: list[Any] = [one.decode(errors="replace") if isinstance(one, bytes) else one for one in found]
    known = Facts(*values)
    return replace(known, players=None) if known.is_silent else known


async def facts_of_all(store: Store, slugs: Sequence[str]) -> dict[str, Facts]:
    """The facts of several instances by slug, read in one pipeline. Raises StoreError."""
    found = await asyncio.gather(*(facts_of(store, slug) for slug in slugs))
    return dict(zip(slugs, found, strict=True))


def note_failed(store: Store, slug: str, operation_id: str, now_ms: int) -> None:
    """Stores that a write failed now, by Redis' clock. It may be lost."""
    key = keys_of(slug).failed
    store.send_unawaited("ZADD", key, now_ms, operation_id)
    store.send_unawaited("ZREMRANGEBYSCORE", key, 0, now_ms - FAILED_KEPT_MS)
    store.send_unawaited("ZREMRANGEBYRANK", key, 0, -MOST_FAILED - 1)
    store.send_unawaited("EXPIRE", key, 2 * FAILED_KEPT_MS // 1000)


@unique
class ServerCause(StrEnum):
    """The first thing that keeps a server from being up; `up` if there is none."""  # it labels a metric

    UP = "up"
    DISABLED = "disabled"
    NOT_SERVED = "not_served"
    NO_TOKEN = "no_token"  # no registration token: nothing reaches Takaro
    NO_OWNER = "no_owner"  # no uplink owns it
    NEVER_CALLED = "never_called"  # its mod has never called
    SILENT = "silent"
    NOT_LINKED = "not_linked"


def server_cause(facts: Facts, *, has_token: bool) -> ServerCause:
    """The cause for a served instance with these facts."""
    if not has_token:
        return ServerCause.NO_TOKEN
    if not facts.uplink:
        return ServerCause.NO_OWNER
    if facts.silent_s is None:
        return ServerCause.NEVER_CALLED
    if facts.is_silent:
        return ServerCause.SILENT
    return ServerCause.UP if facts.link == LinkState.READY else ServerCause.NOT_LINKED
