"""All that is known of an instance, in one call."""

import time

from services.relay.instances.facts import InstanceData, LinkInfo, facts_of, facts_of_all
from services.relay.protocol.keys import keys_of
from services.relay.protocol.records import DeadEvent
from services.relay.protocol.vocabulary import SILENT_AFTER_S
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent


async def test_an_instance_without_data_has_no_facts(store: Store, slug: str) -> None:
    facts = await facts_of(store, slug)
    assert (facts.uplink, facts.link, facts.mod_version) == ("", "", "")
    assert (facts.contact_ms, facts.silent_s, facts.oldest_s, facts.players, facts.hold_ms) == (None,) * 5
    assert (facts.events, facts.commands, facts.dead) == (0, 0, 0)
    assert abs(facts.now_ms / 1000 - time.time()) < 5


async def test_facts_are_read_from_the_keys_that_they_are_written_to(store: Store, slug: str) -> None:
    state = InstanceData(store, slug)
    await Lease(store, slug, "host-7").renew()
    await state.write_link(LinkInfo("ready", "the-id"))
    slots = [
        PostedEvent(digest(b"1"), {"type": "log", "data": {"msg": "x"}}),
        PostedEvent(digest(b"2"), DeadEvent("unknown-type", "type: ?", b"{}")),
    ]
    await EventStream(store, slug).append(EventBatch(slots))
    state.note_mod("version", "0.2.0")
    state.note_mod("hold_ms", 0)
    await store.send("HSET", keys_of(slug).mirror, "players", 5)
    facts = await facts_of(store, slug)
    assert (facts.uplink, facts.link, facts.game_server_id) == ("host-7", "ready", "the-id")
    assert (facts.events, facts.dead, facts.players) == (1, 1, 5)
    assert (facts.mod_version, facts.hold_ms) == ("0.2.0", 0)
    assert facts.silent_s is not None and facts.silent_s < 60
    assert facts.oldest_s is not None and facts.oldest_s < 60


async def test_the_number_of_players_is_unknown_while_the_mod_is_silent(store: Store, slug: str) -> None:
    await store.send("HSET", keys_of(slug).mirror, "players", 12)
    assert (await facts_of(store, slug)).players is None
    for silent_s, players in ((3, 12), (SILENT_AFTER_S + 30, None), (3 * 86_400, None)):
        await store.send("SET", keys_of(slug).contact, round((time.time() - silent_s) * 1000))
        assert (await facts_of(store, slug)).players == players


async def test_the_age_of_waiting_events_is_right_after_the_clock_was_set_back(
    store: Store, slug: str
) -> None:
    """The ids of entries stay ahead then; an entry without a time was written by an older version."""
    now_ms, events = (await facts_of(store, slug)).now_ms, keys_of(slug).events
    await store.send("XADD", events, f"{now_ms - 90_000}-0", "events", "[]")
    oldest_s = (await facts_of(store, slug)).oldest_s
    assert oldest_s is not None and 90 <= oldest_s < 100
    await store.send("DEL", events)
    await store.send("XADD", events, f"{now_ms + 3_600_000}-0", "events", "[]", "at", now_ms - 50_000)
    oldest_s = (await facts_of(store, slug)).oldest_s
    assert oldest_s is not None and 50 <= oldest_s < 60


async def test_many_instances_are_read_at_once(store: Store, slug: str) -> None:
    slugs = [f"{slug}-{number}" for number in range(30)]
    for number, one in enumerate(slugs):
        await store.send("HSET", keys_of(one).mirror, "players", number)
        await store.send("SET", keys_of(one).contact, round(time.time() * 1000))
    found = await facts_of_all(store, slugs)
    assert [found[one].players for one in slugs] == list(range(30))
