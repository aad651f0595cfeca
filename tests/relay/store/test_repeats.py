"""A batch that a mod repeats is stored once, and equal events are stored as often as they happened.

The guarantee, for a mod that has one batch under way at a time and repeats it at the head of the next, as the
known ones do: all that it ever says is stored, once and in order, and no new batch like an answered one is
dropped. Beyond it: an answer that left for a mod that was there counts as received. If the network loses it
all the same and modapi sees nothing of that, a batch of one event, of equal events or of log lines is stored
twice; any other is recognised for 30 s, unless another came between. If modapi dies between the answer and
its note, an honest equal batch is dropped, as the very next batch only.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.relay.instances.facts import facts_of
from services.relay.protocol.errors import StoreError
from services.relay.protocol.keys import keys_of
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import NOT_ASKED, EventBatch, PostedEvent
from tests.support.exact_clock import exact
from tests.support.redis_server import RedisServer
from tests.support.waiting import until

BATCH_EVENTS = 50


def batch(lines: str) -> EventBatch:
    """A batch of one event for each letter."""
    return EventBatch([PostedEvent(digest(line), {"type": "log", "data": {"msg": line}}) for line in lines])


def happenings(words: str) -> EventBatch:
    """A batch of one event for each letter, kills in upper case and log lines in lower case."""
    kinds = ("log", "entity-killed")
    return EventBatch(
        [PostedEvent(digest(one), {"type": kinds[one.isupper()], "data": {"msg": one}}) for one in words]
    )


def modapi(store: Store, slug: str) -> EventStream:
    return EventStream(exact(store, slug), slug)


async def now_s() -> float:
    """The time, different at each call."""
    await asyncio.sleep(0.001)
    return time.monotonic()


@dataclass
class TwoModapis:
    """Two modapis, a and b, in front of one instance."""

    a: EventStream
    b: EventStream

    async def stored(self) -> str:
        return "".join(e["data"]["msg"] for entry in await self.a.read("", 1_000) for e in entry.events)

    async def noted(self) -> None:
        """Returns when the notes of both are in Redis."""
        for one in (self.a, self.b):
            await one.notes.write()


@pytest.fixture
async def modapis(store: Store, redis_server: RedisServer, slug: str) -> AsyncIterator[TwoModapis]:
    other = Store(redis_server.url, call_timeout_s=20.0)
    yield TwoModapis(modapi(store, slug), modapi(other, slug))
    await other.close()


async def test_a_repeat_alone_is_stored_once(modapis: TwoModapis) -> None:
    await modapis.a.append(batch("xy"))
    again = await modapis.b.append(batch("xy"))
    assert again.repeated == 2
    modapis.b.notes.answered(again.token)
    await modapis.noted()
    assert (await modapis.a.append(batch("xy"))).repeated == 0  # a new batch that is equal
    assert await modapis.stored() == "xyxy"


async def test_repeats_that_grow_and_whose_answers_are_all_lost_are_stored_once(modapis: TwoModapis) -> None:
    for stream, lines in (
        (modapis.a, "x"),
        (modapis.b, "xy"),
        (modapis.a, "xyz"),
        (modapis.b, "xyz"),
        (modapis.a, "xyzw"),
    ):
        await stream.append(batch(lines))
    assert await modapis.stored() == "xyzw"


async def test_a_modapi_killed_before_its_answer_leaves_a_batch_that_the_next_one_knows(
    modapis: TwoModapis,
) -> None:
    """Nothing is noted, and the other modapi has never seen the batch."""
    modapis.a.notes.answered((await modapis.a.append(batch("v"))).token)
    await modapis.noted()
    await modapis.a.append(batch("xy"))
    assert (await modapis.b.append(batch("xyz"))).repeated == 2
    assert await modapis.stored() == "vxyz"


async def test_a_first_post_that_comes_through_before_its_repeat_is_stored_once(modapis: TwoModapis) -> None:
    sent_s = await now_s()
    repeat_sent_s = await now_s()  # both are under way; nobody receives the answer to the first
    modapis.a.notes.answered((await modapis.a.append(batch("x"), sent_s)).token)
    await modapis.noted()
    assert (await modapis.b.append(batch("xy"), repeat_sent_s)).repeated == 1
    assert await modapis.stored() == "xy"


@pytest.mark.parametrize("repeat", ["x", "xy"])
@pytest.mark.parametrize("answered", [True, False])
async def test_a_first_post_that_comes_through_behind_its_repeat_is_dropped(
    modapis: TwoModapis, repeat: str, answered: bool
) -> None:
    sent_s = await now_s()
    merged = await modapis.b.append(batch(repeat))
    if answered:
        modapis.b.notes.answered(merged.token)
    late = await modapis.a.append(batch("x"), sent_s)
    assert (late.token, late.repeated) == (NOT_ASKED, 1)
    modapis.a.notes.answered(
        late.token
    )  # nobody receives it, so it says nothing about the answer to the repeat
    await modapis.noted()
    assert (await modapis.a.append(batch(repeat))).repeated == (0 if answered else len(repeat))


async def test_a_post_that_is_stuck_for_longer_than_its_caller_waits_is_never_stored(
    modapis: TwoModapis, store: Store, slug: str, redis_server: RedisServer
) -> None:
    modapis.a.notes.answered((await modapis.a.append(batch("v"))).token)
    await modapis.noted()
    impatient = EventStream(exact(store, slug), slug, within_s=0.2)
    with redis_server.stopped():
        with pytest.raises(StoreError):
            await impatient.append(batch("x"))
    assert await modapis.stored() == "v"


async def test_the_unanswered_one_of_two_batches_under_way_is_recognised(modapis: TwoModapis) -> None:
    sent_s = await now_s()
    await modapis.a.append(batch("x"), sent_s)
    modapis.b.notes.answered((await modapis.b.append(batch("y"), sent_s)).token)
    await modapis.noted()
    assert (await modapis.b.append(batch("xz"))).repeated == 1
    assert await modapis.stored() == "xyz"


async def test_a_batch_whose_mod_hung_up_is_recognised_behind_others(modapis: TwoModapis) -> None:
    modapis.a.notes.answered((await modapis.a.append(batch("x"))).token, arrived=False)
    await modapis.noted()
    for line in "yvw":
        modapis.b.notes.answered((await modapis.b.append(batch(line))).token)
    assert (await modapis.b.append(batch("xz"))).repeated == 1
    assert await modapis.stored() == "xyvwz"


async def test_equal_batches_that_were_answered_are_all_stored_wherever_they_come(
    modapis: TwoModapis, store: Store, slug: str
) -> None:
    intake = keys_of(slug).intake
    for stream in (modapis.a, modapis.a, modapis.b, modapis.a, modapis.b, modapis.b, modapis.b):
        token = (await stream.append(batch("x"))).token
        stream.notes.answered(token)
        if stream is modapis.b:
            await modapis.noted()
        else:  # it notes that a moment later by itself
            note = token.partition(" ")[2].encode()
            await until(lambda: store.send("HVALS", intake), met=lambda notes, note=note: note in notes)
    assert await modapis.stored() == "x" * 7


async def test_equal_lines_within_a_batch_and_behind_a_repeat_are_lines_of_their_own(
    modapis: TwoModapis,
) -> None:
    await modapis.a.append(batch("xx"))
    assert (await modapis.a.append(batch("xxx"))).repeated == 2
    assert await modapis.stored() == "xxx"


async def test_a_batch_counts_as_answered_once_the_next_begins_otherwise(modapis: TwoModapis) -> None:
    await modapis.a.append(batch("x"))  # killed after its answer
    modapis.b.notes.answered((await modapis.b.append(batch("y"))).token)
    await modapis.noted()
    assert (await modapis.b.append(batch("x"))).repeated == 0
    assert await modapis.stored() == "xyx"


async def test_a_full_batch_is_repeated_as_it_was_and_the_rest_comes_behind(modapis: TwoModapis) -> None:
    """A mod takes 50 events off the head of its queue, and puts them back there after a failure."""
    lines = "".join(chr(0x100 + n) for n in range(120))
    await modapis.a.append(batch(lines[:30]))
    await modapis.b.append(batch(lines[:50]))  # now merged with what is newer, up to the limit
    again = await modapis.a.append(batch(lines[:50]))
    assert again.repeated == 50
    modapis.a.notes.answered(again.token)
    for cut in (slice(50, 100), slice(100, 120)):
        modapis.a.notes.answered((await modapis.a.append(batch(lines[cut]))).token)
    assert await modapis.stored() == lines


@pytest.mark.parametrize("repeat", ["Xy", "XyZ"])
async def test_a_batch_whose_answer_was_lost_behind_a_proxy_is_stored_once(
    modapis: TwoModapis, repeat: str
) -> None:
    """The answer was sent, so it is noted. But the mod never got it, and repeats the batch again and
    again."""
    for stream, words in ((modapis.a, "Xy"), (modapis.b, repeat), (modapis.a, repeat)):
        stream.notes.answered((await stream.append(happenings(words))).token)
        await modapis.noted()
    assert await modapis.stored() == repeat


@pytest.mark.parametrize("words", ["X", "XXX", "xy", "x"], ids=["one", "equal kills", "log lines", "a line"])
async def test_batches_that_honestly_look_alike_are_all_stored(modapis: TwoModapis, words: str) -> None:
    for stream in (modapis.a, modapis.b, modapis.a):
        stream.notes.answered((await stream.append(happenings(words))).token)
        await modapis.noted()
    assert await modapis.stored() == words * 3


async def test_a_batch_that_begins_with_a_part_of_the_last_one_is_no_repeat(modapis: TwoModapis) -> None:
    for words in ("XyZ", "Xy"):
        modapis.a.notes.answered((await modapis.a.append(happenings(words))).token)
        await modapis.noted()
    assert await modapis.stored() == "XyZXy"


async def test_a_batch_with_another_one_between_is_no_repeat(modapis: TwoModapis) -> None:
    for words in ("Xy", "v", "Xy"):
        modapis.a.notes.answered((await modapis.a.append(happenings(words))).token)
        await modapis.noted()
    assert await modapis.stored() == "XyvXy"


@pytest.mark.parametrize(("ago_s", "stored"), [(25, "Xy"), (35, "XyXy"), (-60, "XyXy")])
async def test_half_a_minute_later_the_same_batch_is_another_one(
    modapis: TwoModapis, store: Store, slug: str, ago_s: int, stored: str
) -> None:
    """It is no repeat of a batch with a later time either: then the clock was set back."""
    modapis.a.notes.answered((await modapis.a.append(happenings("Xy"))).token)
    await modapis.noted()
    await _accepted_ago(store, slug, ago_s)
    await modapis.b.append(happenings("Xy"))
    assert await modapis.stored() == stored


async def test_a_clock_that_is_set_back_does_not_make_an_equal_batch_a_repeat(
    modapis: TwoModapis, store: Store, slug: str
) -> None:
    modapis.a.notes.answered((await modapis.a.append(batch("x"))).token)
    await modapis.noted()
    await _accepted_ago(store, slug, -60)
    assert (await modapis.b.append(batch("x"))).repeated == 0
    assert await modapis.stored() == "xx"


async def _accepted_ago(store: Store, slug: str, ago_s: int) -> None:
    """Makes all remembered batches that much older."""
    intake = f"relay:{{{slug}}}:intake"
    for name in await store.send("HKEYS", intake):
        if name in (b"b1", b"b2", b"b3", b"b4"):
            digests, token, accepted_us, received_us = (await store.send("HGET", intake, name)).rsplit(
                b" ", 3
            )
            then = b"%s %s %016d %s" % (digests, token, int(accepted_us) - ago_s * 1_000_000, received_us)
            await store.send("HSET", intake, name, then)


async def test_another_sender_settles_nothing_and_repeats_only_its_own(
    modapis: TwoModapis, store: Store, slug: str
) -> None:
    agent = EventStream(exact(store, slug), slug, "agent")
    await modapis.a.append(batch("x"))  # its answer is lost
    for line in "abcdefx":  # more than are remembered, and one that looks alike
        agent.notes.answered((await agent.append(batch(line))).token)
    await agent.append(batch("y"))  # lost as well
    assert (await modapis.b.append(batch("xz"))).repeated == 1
    assert (await agent.append(batch("yx"))).repeated == 1
    assert await modapis.stored() == "xabcdefxyzx"


async def test_another_sender_says_nothing_of_the_mods_contact(store: Store, slug: str) -> None:
    await EventStream(store, slug, "agent").append(batch("x"))
    assert (await facts_of(store, slug)).contact_ms is None
    await EventStream(store, slug).append(batch("x"))
    assert (await facts_of(store, slug)).contact_ms is not None


async def test_events_of_all_senders_count_as_waiting(modapis: TwoModapis, store: Store, slug: str) -> None:
    await modapis.a.append(batch("xy"))
    assert (await EventStream(store, slug, "agent", most_events=3).append(batch("vw"))).full


async def test_events_that_were_left_out_of_a_batch_belong_to_its_repeat(modapis: TwoModapis) -> None:
    kept, left_out = batch("x").events[0], PostedEvent(digest("y"), None)
    await modapis.a.append(EventBatch([left_out, kept, left_out]))
    again = await modapis.b.append(EventBatch([left_out, kept, left_out, *batch("z").events]))
    assert again.repeated == 3
    assert await modapis.stored() == "xz"


@dataclass
class ModelMod:
    """Sends one batch at a time, of at most 50 events of the head of its queue, and puts it back after a
    failure."""

    queue: deque[str] = field(default_factory=deque)
    said: str = ""

    def say(self, lines: str) -> None:
        self.queue += lines
        self.said += lines

    def drain(self) -> str:
        return "".join(self.queue.popleft() for _ in range(min(BATCH_EVENTS, len(self.queue))))

    def requeue(self, lines: str) -> None:
        self.queue.extendleft(reversed(lines))


Fate = st.sampled_from(["answered", "hung-up", "killed", "never-arrived", "stuck"])
Turn = st.tuples(st.text("xy", min_size=0, max_size=60), st.integers(0, 1), Fate, st.booleans())


@given(st.lists(Turn, min_size=1, max_size=12))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_mod_that_hears_some_answers_only_has_each_event_stored_once(
    store: Store, redis_server: RedisServer, slug: str, turns: list[tuple[str, int, str, bool]]
) -> None:
    """With only two letters nearly every batch looks like the one before.

    A turn: what is said before it, which modapi gets the batch, what becomes of its answer, and whether a
    POST that was stuck comes through right before this one or right behind it: both are under way then.
    """
    name = f"{slug}-{next(_examples)}"
    other = Store(redis_server.url, call_timeout_s=20.0)
    modapis = TwoModapis(modapi(store, name), modapi(other, name))
    mod = ModelMod()
    stuck: list[tuple[EventStream, str, float]] = []

    async def append(stream: EventStream, lines: str, sent_s: float) -> str:
        appended = await stream.append(batch(lines), sent_s)
        assert not appended.full
        return appended.token

    async def come_through() -> None:
        for stream, lines, sent_s in stuck:
            stream.notes.answered(await append(stream, lines, sent_s))  # nobody receives this answer
        stuck.clear()
        await modapis.noted()

    try:
        # At the end the mod gets its answers. Then all of its events must be stored.
        for lines, at, fate, before in [*turns, *[("", 0, "answered", False)] * 16]:
            mod.say(lines)
            if not (sent := mod.drain()):
                continue
            sent_s = await now_s()
            stream = (modapis.a, modapis.b)[at]
            if fate in ("stuck", "never-arrived"):
                mod.requeue(sent)
                if fate == "stuck":
                    stuck.append((stream, sent, sent_s))
                continue
            if before:
                await come_through()
            token = await append(stream, sent, sent_s)
            if fate == "answered":
                stream.notes.answered(token)
            else:
                mod.requeue(sent)
            if fate == "hung-up":
                stream.notes.answered(token, arrived=False)
            await modapis.noted()
            if fate == "killed":
                modapis = replace(modapis, **{"ab"[at]: modapi((store, other)[at], name)})
            await come_through()
        assert not mod.queue
        assert await modapis.stored() == mod.said
    finally:
        await other.close()


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 1), st.sampled_from(["answered", "lost", "killed"])),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_mod_whose_answers_a_proxy_loses_has_each_event_stored_once(
    store: Store, redis_server: RedisServer, slug: str, turns: list[tuple[int, int, str]]
) -> None:
    """A lost answer was sent, and is noted. No batch has a single event."""
    name = f"{slug}-{next(_examples)}"
    other = Store(redis_server.url, call_timeout_s=20.0)
    modapis = TwoModapis(modapi(store, name), modapi(other, name))
    mod, letters = ModelMod(), map(chr, itertools.count(0x4E00))

    def some(words: str) -> EventBatch:
        kinds = ("log", "chat-message", "entity-killed")
        return EventBatch(
            [PostedEvent(digest(one), {"type": kinds[ord(one) % 3], "data": {"msg": one}}) for one in words]
        )

    try:
        for count, at, fate in [*turns, *[(0, 0, "answered")] * 16]:
            mod.say("".join(itertools.islice(letters, count if count > 2 else 0)))
            if not (sent := mod.drain()):
                continue
            stream = (modapis.a, modapis.b)[at]
            token = (await stream.append(some(sent), await now_s())).token
            if fate == "answered":
                stream.notes.answered(token)
            else:
                mod.requeue(sent)
            if fate == "lost":
                stream.notes.answered(token)
            await modapis.noted()
            if fate == "killed":
                modapis = replace(modapis, **{"ab"[at]: modapi((store, other)[at], name)})
        assert not mod.queue
        assert await modapis.stored() == mod.said
    finally:
        await other.close()


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.text("xy", max_size=4),
            st.sampled_from(["answered", "hung-up", "killed", "stuck"]),
        ),
        max_size=16,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_two_senders_side_by_side_have_each_of_their_events_stored_once(
    store: Store, slug: str, turns: list[tuple[bool, str, str]]
) -> None:
    """The digests of the agent's events equal those of the mod's; only their stored texts are upper case."""
    name = f"{slug}-{next(_examples)}"
    mods = (ModelMod(), ModelMod())
    stuck: list[tuple[bool, EventBatch, float]] = []

    def sender(is_agent: bool) -> EventStream:
        return EventStream(exact(store, name), name, "agent" if is_agent else "")

    streams = [sender(False), sender(True)]

    async def noted() -> None:
        for stream in streams:
            await stream.notes.write()

    for is_agent, lines, fate in [*turns, *[(n % 2 == 1, "", "answered") for n in range(32)]]:
        mod, stream = mods[is_agent], streams[is_agent]
        mod.say(lines)
        if not (sent := mod.drain()):
            continue
        slots = batch(sent).events
        if is_agent:
            slots = [
                PostedEvent(slot.digest, {"type": "log", "data": {"msg": line.upper()}})
                for slot, line in zip(slots, sent, strict=True)
            ]
        sent_s = await now_s()
        if fate == "stuck":
            mod.requeue(sent)
            stuck.append((is_agent, EventBatch(slots), sent_s))
            continue
        token = (await stream.append(EventBatch(slots), sent_s)).token
        if fate == "answered":
            stream.notes.answered(token)
        else:
            mod.requeue(sent)
        if fate == "hung-up":
            stream.notes.answered(token, arrived=False)
        await noted()
        if fate == "killed":
            streams[is_agent] = sender(is_agent)
        for late in [late for late in stuck if late[0] == is_agent]:  # it is under way with this one
            stuck.remove(late)
            streams[is_agent].notes.answered((await streams[is_agent].append(*late[1:])).token)
        await noted()

    stored = "".join(e["data"]["msg"] for entry in await streams[0].read("", 1_000) for e in entry.events)
    assert not mods[0].queue and not mods[1].queue
    assert "".join(filter(str.islower, stored)) == mods[0].said
    assert "".join(filter(str.isupper, stored)).lower() == mods[1].said


_examples = itertools.count()


async def test_notes_that_redis_did_not_take_are_written_at_the_stop(
    redis_server: RedisServer, store: Store, slug: str
) -> None:
    """Otherwise another modapi takes the next equal batch for a repeat, and drops it."""
    hasty = Store(redis_server.url, call_timeout_s=1.0)
    stream = EventStream(hasty, slug)
    token = (await stream.append(batch("x"))).token
    redis_server.pause()
    try:
        stream.notes.answered(token)
        await stream.notes.write()
    finally:
        redis_server.resume()
    await stream.notes.write()
    await hasty.close()
    assert (await EventStream(store, slug).append(batch("x"))).repeated == 0
