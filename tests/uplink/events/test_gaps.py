"""Which events have to wait, and for how long."""

import itertools
import weakref
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.records import GameEvent
from services.relay.store.clock import AgeRange
from services.relay.store.stream_entries import Delivered, StreamEntry
from services.uplink.events.ages import CHAT_S
from services.uplink.events.gaps import EQUAL_GAP_S, LOOKAHEAD, PLAYER_GAP_S, GapQueue
from services.uplink.events.progress import Progress, StreamEvent
from services.uplink.events.receipts import WRITE_EVENTS

NOW_S = 1_000.0
ROOM = 1_000
TOLERANCE_S = 1e-9


def line(text: str) -> GameEvent:
    return {"type": "log", "data": {"msg": text}}


def of(player: str, event_type: str = "chat-message", msg: str = "") -> GameEvent:
    return {"type": event_type, "data": {"player": {"gameId": player, "name": "A"}, "msg": msg}}


def read(*events: GameEvent, accepted_s: float = NOW_S, number: int = 0) -> list[StreamEvent]:
    """Events as they are read from the stream. They were accepted at `accepted_s`."""
    age_s = NOW_S - accepted_s
    entry = StreamEntry(f"1-{number}", list(events), 0, 1)
    return Progress(Delivered()).read(entry, AgeRange(age_s, age_s), NOW_S)


def taken(queue: GapQueue, now_s: float, capacity: int = 1_000) -> list[GameEvent]:
    events, _ = queue.take(now_s, capacity)
    queue.written(now_s)
    return [event.event for event in events]


def delays(events: list[GameEvent]) -> list[tuple[float, list[GameEvent]]]:
    """When, and which of, the events that arrive together are written."""
    queue, now_s, found = GapQueue(), NOW_S, []
    queue.unseen += read(*events)
    while queue.due_s(ROOM) < float("inf"):
        now_s = max(now_s, queue.due_s(ROOM))
        if some := taken(queue, now_s):
            found.append((round(now_s - NOW_S, 6), some))
    return found


def test_different_lines_and_different_players_go_at_once() -> None:
    events = [line("a"), of("1"), line("b"), of("2"), of("3", "player-death")]
    assert delays(events) == [(0, events)]


def test_nothing_is_due_when_nothing_was_read() -> None:
    assert delays([]) == []


def test_events_of_one_player_keep_their_gap_and_those_of_others_do_not_wait() -> None:
    come, go, die = (of("1", f"player-{what}") for what in ("connected", "disconnected", "death"))
    other = of("2")
    assert delays([come, go, die, other]) == [
        (0, [come, other]),
        (PLAYER_GAP_S, [go]),
        (2 * PLAYER_GAP_S, [die]),
    ]


def test_kills_of_one_player_only_keep_the_gap_of_equal_events() -> None:
    kill, chat = of("1", "entity-killed"), of("1")
    assert delays([kill, kill, chat, kill]) == [
        (0, [kill]),
        (EQUAL_GAP_S, [kill]),
        (round(EQUAL_GAP_S + PLAYER_GAP_S, 6), [chat]),
        (round(EQUAL_GAP_S + 2 * PLAYER_GAP_S, 6), [kill]),
    ]


def test_lines_stay_in_order_behind_an_equal_line_that_waits() -> None:
    a, b, c = map(line, "abc")
    assert delays([a, b, a, c]) == [(0, [a, b]), (EQUAL_GAP_S, [a, c])]


def test_a_chat_line_without_a_player_is_treated_as_a_line() -> None:
    unknown: GameEvent = {"type": "chat-message", "data": {"channel": "global", "msg": "hello"}}
    assert delays([unknown, unknown]) == [(0, [unknown]), (EQUAL_GAP_S, [unknown])]


def test_gaps_count_from_the_write_and_not_from_the_take() -> None:
    queue = GapQueue()
    queue.unseen += read(of("1"))
    queue.take(NOW_S, 32)
    queue.written(NOW_S + 0.04)
    queue.unseen += read(of("1"))
    assert taken(queue, NOW_S + 0.05) == []
    assert queue.due_s(ROOM) == NOW_S + 0.04 + PLAYER_GAP_S


def test_waiting_events_go_first_and_a_take_has_at_most_one_window() -> None:
    queue = GapQueue()
    others = [of(str(player)) for player in range(2, 102)]
    queue.unseen += read(of("1"), of("1", msg="second"), *others)
    assert taken(queue, NOW_S, 64) == [of("1"), *others[: WRITE_EVENTS - 1]]
    assert taken(queue, NOW_S + PLAYER_GAP_S, 64) == [of("1", msg="second"), *others[31:62]]


def test_with_little_capacity_waiting_events_go_and_unseen_ones_wait_for_a_window() -> None:
    queue = GapQueue()
    others = [of(str(player)) for player in range(2, 102)]
    queue.unseen += read(of("1"), of("1", msg="second"), *others)
    taken(queue, NOW_S, 64)
    assert queue.due_s(WRITE_EVENTS) < NOW_S
    assert queue.due_s(WRITE_EVENTS - 1) == NOW_S + PLAYER_GAP_S
    assert queue.due_s(0) == float("inf")
    assert taken(queue, NOW_S + PLAYER_GAP_S, 2) == [of("1", msg="second")]


def test_an_event_does_not_grow_too_old_by_its_gap() -> None:
    queue = GapQueue()
    flood = [of("1", msg=str(number)) for number in range(600)]
    queue.unseen += read(*flood, accepted_s=NOW_S - CHAT_S + 1)
    now_s, found = NOW_S, []
    while queue.due_s(ROOM) < float("inf"):
        now_s = max(now_s, queue.due_s(ROOM)) + 0.001
        found += taken(queue, now_s)
    assert found == flood and now_s - NOW_S > 2 * CHAT_S


def test_an_event_grows_older_again_once_its_gap_is_over() -> None:
    queue = GapQueue()
    queue.unseen += read(of("1"), of("1", msg="second"), of("1", "player-death"), of("1", msg="last"))
    assert taken(queue, NOW_S) == [of("1")]
    later_s = NOW_S + CHAT_S + 1  # Redis was away, or Takaro
    events, expired = queue.take(later_s, 32)
    queue.written(later_s)
    assert [event.event for event in events] == [of("1", "player-death")]
    assert [event.event for event in expired] == [of("1", msg="second")]
    _, expired = queue.take(later_s + PLAYER_GAP_S, 32)
    assert [event.event for event in expired] == [of("1", msg="last")]
    assert queue.due_s(ROOM) == float("inf") and queue.waiting == 0


def test_an_event_that_is_too_old_is_not_written() -> None:
    queue = GapQueue()
    queue.unseen += read(of("1"), line("still news"), of("2"), accepted_s=NOW_S - CHAT_S - 1)
    events, expired = queue.take(NOW_S, 64)
    assert [event.event for event in events] == [line("still news")]
    assert [event.event for event in expired] == [of("1"), of("2")]


def test_a_flood_fills_the_lookahead_and_no_more() -> None:
    queue = GapQueue()
    queue.unseen += read(*(of("1", msg=str(number)) for number in range(2 * LOOKAHEAD)), of("2"))
    assert len(taken(queue, NOW_S)) == 1
    assert queue.waiting == LOOKAHEAD and len(queue.unseen) == LOOKAHEAD
    assert queue.due_s(ROOM) == NOW_S + PLAYER_GAP_S


EVENTS = st.one_of(
    st.builds(line, st.sampled_from("ab")),
    st.builds(
        of,
        st.sampled_from("123"),
        st.sampled_from(["chat-message", "player-death", "entity-killed"]),
        st.sampled_from("xy"),
    ),
)
READS = st.lists(st.lists(EVENTS, max_size=12), max_size=8)
LATENESSES_S = st.lists(st.sampled_from([0.0, 0.001, 0.01, 5.0]), min_size=1)
ROOMS = st.lists(st.integers(min_value=1, max_value=8), min_size=1)


def written(
    reads: list[list[GameEvent]], lateness_s: list[float], rooms: list[int]
) -> list[tuple[float, StreamEvent]]:
    """What a pump writes, and when. Each write is late by the next of `lateness_s` and has the next of
    `rooms`. The pump reads on when it has looked at all events."""
    queue, now_s, found = GapQueue(), NOW_S, []
    late_s, capacity = itertools.cycle(lateness_s), itertools.cycle([*rooms, ROOM])
    young_s = NOW_S + 1e6  # nothing here grows too old
    to_read = [read(*events, accepted_s=young_s, number=number) for number, events in enumerate(reads)]
    while to_read or queue.due_s(ROOM) < float("inf"):
        while to_read and not queue.unseen:
            queue.unseen += to_read.pop(0)
        if queue.due_s(most := next(capacity)) < float("inf"):
            now_s = max(now_s, queue.due_s(most)) + next(late_s)
            events, expired = queue.take(now_s, most)
            assert len(events) <= most and not expired
            now_s += next(late_s)
            found += [(now_s, event) for event in events]
            queue.written(now_s)
    return found


@given(READS, LATENESSES_S, ROOMS)
def test_gaps_are_kept_after_a_late_write(
    reads: list[list[GameEvent]], lateness_s: list[float], rooms: list[int]
) -> None:
    for (early_s, one), (late_s, other) in itertools.combinations(written(reads, lateness_s, rooms), 2):
        gap_s, sooner, later = late_s - early_s + TOLERANCE_S, one.event, other.event
        if sooner == later:
            assert gap_s >= EQUAL_GAP_S
        if "player" in sooner["data"] and sooner["data"]["player"] == later["data"].get("player"):
            kills = sooner["type"] == later["type"] == "entity-killed"
            assert gap_s >= (EQUAL_GAP_S if kills else PLAYER_GAP_S)


@given(READS, LATENESSES_S, ROOMS)
def test_each_event_is_written_once_and_behind_those_of_its_player(
    reads: list[list[GameEvent]], lateness_s: list[float], rooms: list[int]
) -> None:
    def by_player(events: Iterable[GameEvent]) -> dict[str, list[GameEvent]]:
        found: dict[str, list[GameEvent]] = {}
        for event in events:
            found.setdefault(event["data"].get("player", {}).get("gameId", ""), []).append(event)
        return found

    sent = by_player(event.event for _, event in written(reads, lateness_s, rooms))
    assert sent == by_player(itertools.chain(*reads))


@given(READS)
def test_no_event_waits_for_the_gap_of_another_player(reads: list[list[GameEvent]]) -> None:
    """A flood of another player before the events does not change when they are written."""
    flood = [of("flood", "player-death", str(number)) for number in range(40)]
    without = [(at_s, event.event) for at_s, event in written(reads, [0.0], [10_000])]
    found = [(at_s, event.event) for at_s, event in written([flood, *reads], [0.0], [10_000])]
    theirs = [(at_s, event) for at_s, event in found if event not in flood]
    assert sorted(map(repr, theirs)) == sorted(map(repr, without))


@given(st.lists(EVENTS, max_size=32))
def test_the_first_event_of_each_player_goes_at_once(events: list[GameEvent]) -> None:
    queue = GapQueue()
    queue.unseen += read(*events)
    at_once = taken(queue, NOW_S)
    players = {event["data"]["player"]["gameId"] for event in events if "player" in event["data"]}
    assert players == {event["data"]["player"]["gameId"] for event in at_once if "player" in event["data"]}


class PlayerId(str):
    """One that can be referred to weakly."""


def test_written_events_are_forgotten_when_their_gaps_are_over() -> None:
    queue, ids = GapQueue(), list[weakref.ref[PlayerId]]()
    for number in range(1_000):
        game_id = PlayerId(number)
        ids.append(weakref.ref(game_id))
        queue.unseen += read(of(game_id))
        taken(queue, NOW_S + number)
    del game_id
    assert sum(one() is not None for one in ids) <= 2
