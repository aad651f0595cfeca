"""How far a reader of events and commands has come."""

import pytest

from services.relay.instances.activity import KEPT_RUNS, ActivityEntry, Cursor, in_order


def entries(*ids: str, at_ms: int = 0) -> list[ActivityEntry]:
    return [ActivityEntry("event", at_ms, "log", {}, "delivered", 0, id=id) for id in ids]


def new(cursor: Cursor, *ids: str) -> list[str]:
    return [entry.id for entry in cursor.new(entries(*ids))]


def test_an_entry_is_new_once_and_earlier_ones_of_its_source_are_not() -> None:
    cursor = Cursor()
    assert new(cursor, "a1-1", "a1-3", "a1-3", "a1-2") == ["a1-1", "a1-3"]
    assert new(cursor, "waiting-17-0-1", "waiting-17-0-0", "dead-17-0") == ["waiting-17-0-1", "dead-17-0"]
    assert new(cursor, "b2-1", "a1-4") == ["b2-1", "a1-4"]


def test_a_reader_goes_on_where_its_cursor_says() -> None:
    cursor = Cursor()
    new(cursor, "a1-7", "waiting-17-0-2", "dead-16-1")
    again = Cursor(str(cursor))
    assert new(again, "a1-7", "a1-8", "waiting-17-0-2", "waiting-17-1-0", "dead-16-1") == [
        "a1-8",
        "waiting-17-1-0",
    ]


def test_a_text_stays_short_and_keeps_the_streams_and_the_runs_that_moved_last() -> None:
    cursor = Cursor()
    new(cursor, "dead-1-0", "waiting-1-0-0", "owner-5", *(f"run{number}-1" for number in range(50)))
    new(cursor, "run45-2")
    found = str(cursor).split(",")
    assert {"dead-1-0", "waiting-1-0-0", "run45-2"} < set(found) and len(found) == KEPT_RUNS + 2


@pytest.mark.parametrize("text", ["", "0", "what ever", "a-", "a-1-2-3-4-5", "-1", "a-" + "9" * 99, ",,,"])
def test_a_foreign_cursor_starts_at_the_beginning(text: str) -> None:
    assert not Cursor(text) and new(Cursor(text), "a-1") == ["a-1"]


def test_entries_are_in_order_of_time_and_those_of_one_source_in_its_order() -> None:
    late, early = entries("a1-1", at_ms=50), entries("a1-2", "a1-10", at_ms=40)  # the clock was set back
    others = entries("b2-1", at_ms=30)
    assert [entry.id for entry in in_order([*early, *late, *others])] == ["b2-1", "a1-1", "a1-2", "a1-10"]
