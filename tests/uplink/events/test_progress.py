"""Progress of delivery when events overtake each other: what is stored, and what is read again."""

from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.records import GameEvent
from services.relay.store.clock import AgeRange
from services.relay.store.stream_entries import Delivered, StreamEntry
from services.uplink.events.progress import Progress, StreamEvent


def entry(number: int, count: int) -> StreamEntry:
    return StreamEntry(f"{number}-0", [event(number, place) for place in range(count)], 10 * count, number)


def event(number: int, place: int) -> GameEvent:
    return {"type": "log", "data": {"msg": f"{number}.{place}"}}


def read(progress: Progress, entry: StreamEntry) -> list[StreamEvent]:
    return progress.read(entry, AgeRange(0.0, 0.0), 0.0)


def texts(events: list[StreamEvent]) -> list[str]:
    return [one.event["data"]["msg"] for one in events]


def test_events_delivered_in_order_need_no_notes() -> None:
    progress = Progress(Delivered(total=7))
    events = read(progress, entry(1, 2)) + read(progress, entry(2, 3))
    progress.done(events[:3])
    assert progress.delivered() == Delivered("2-0", 1, {}, 10)
    assert (progress.gone, progress.size_bytes) == ([], 20)


def test_when_all_is_delivered_the_cursor_is_behind_the_last_entry() -> None:
    progress = Progress(Delivered())
    progress.done(read(progress, entry(1, 2)))
    assert progress.delivered() == Delivered("1-1", 0, {}, 2)


def test_events_delivered_beyond_a_waiting_one_are_noted_and_whole_entries_are_deleted() -> None:
    progress = Progress(Delivered())
    first, second, third = (read(progress, entry(number, 3)) for number in (1, 2, 3))
    progress.done([first[0], first[2], *second, third[1]])
    assert progress.delivered() == Delivered("1-0", 1, {"1-0": 0b010, "3-0": 0b101}, 6)
    assert (progress.gone, progress.size_bytes) == (["2-0"], 30)
    progress.acknowledged()
    assert (progress.gone, progress.size_bytes) == ([], 0)


def test_entries_count_until_they_are_deleted_from_the_stream() -> None:
    progress = Progress(Delivered())
    first, second = (read(progress, entry(number, 2)) for number in (1, 2))
    progress.done([*first, second[1]])
    assert progress.entries == 2  # as long as Redis has them
    progress.acknowledged()
    assert progress.entries == 1
    progress.done(second[:1])
    progress.acknowledged()
    assert progress.entries == 0


def test_noted_events_are_not_read_again() -> None:
    progress = Progress(Delivered("1-0", 1, {"1-0": 0b010, "3-0": 0b101}, 6))
    assert texts(read(progress, entry(1, 3))) == ["1.1"]
    assert texts(read(progress, entry(3, 3))) == ["3.0", "3.2"]
    assert texts(read(progress, entry(4, 1))) == ["4.0"]


def test_an_older_version_that_moved_the_cursor_into_a_noted_entry_is_believed_too() -> None:
    progress = Progress(Delivered("3-0", 1, {"1-0": 0b010, "3-0": 0b101}, 6))
    assert texts(read(progress, entry(3, 3))) == ["3.2"]


def test_notes_of_entries_that_are_not_read_yet_outlive_an_acknowledgement() -> None:
    progress = Progress(Delivered("1-0", 1, {"1-0": 0b100, "3-0": 0b101, "4-0": 0b110}, 6))
    progress.done(read(progress, entry(1, 3)))  # nothing is left of what was read
    assert progress.delivered() == Delivered("1-1", 0, {"3-0": 0b101, "4-0": 0b110}, 7)
    second = read(progress, entry(2, 3))
    progress.done(second[:1])
    assert progress.delivered() == Delivered("2-0", 1, {"3-0": 0b101, "4-0": 0b110}, 8)
    third = read(progress, entry(3, 3))
    assert texts(third) == ["3.0", "3.2"]
    progress.done(third)
    assert progress.delivered() == Delivered("2-0", 1, {"4-0": 0b110}, 10)


def test_notes_that_the_cursor_has_passed_are_forgotten() -> None:
    progress = Progress(Delivered("10-0", 0, {"9-0": 0b10, "10-1": 0b01}, 6))
    progress.done(read(progress, entry(10, 3))[:1])
    assert progress.delivered() == Delivered("10-0", 1, {"10-1": 0b01}, 7)


SIZES = st.lists(st.integers(min_value=1, max_value=5), min_size=1, max_size=5)
STEPS = st.lists(st.none() | st.lists(st.integers(min_value=0, max_value=24), min_size=1))
READ_ALL: list[list[int] | None] = [None] * 5


@given(SIZES, st.lists(STEPS, max_size=5))
def test_owner_after_owner_each_event_is_delivered_once(
    sizes: list[int], owners: list[list[list[int] | None]]
) -> None:
    """At each step an owner reads the next entry (None), or delivers some of the events that it has read, in
    any order, and they are acknowledged. The last owner reads and delivers all."""
    stream = [entry(number, size) for number, size in enumerate(sizes, 1)]
    all_texts = [one["data"]["msg"] for each in stream for one in each.events]
    stored, delivered = Delivered(), list[str]()
    for steps in [*owners, [*READ_ALL, list(range(25))]]:
        progress, unread, rest = Progress(stored), list(stream), list[StreamEvent]()
        for wanted in steps:
            if wanted is None:
                rest += [one for each in unread[:1] for one in read(progress, each)]
                del unread[:1]
                continue
            some = [rest[place] for place in dict.fromkeys(wanted) if place < len(rest)]
            if not some:
                continue
            progress.done(some)
            delivered += texts(some)
            rest = [one for one in rest if one not in some]
            stored = progress.delivered()
            stream = [
                one for one in stream if _at(one.id) >= _at(stored.entry) and one.id not in progress.gone
            ]
            progress.acknowledged()
            assert stored.total == len(delivered)
            assert set(stored.needed) <= {one.id for one in stream}
    assert stream == [] and sorted(delivered) == sorted(all_texts)


def _at(id: str) -> tuple[int, ...]:
    return tuple(map(int, id.split("-")))
