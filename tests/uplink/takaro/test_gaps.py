"""What has to wait, for how long, and who does not wait for it."""

import itertools
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from services.relay.records import GameEvent
from services.uplink.takaro.gaps import PLAYER_GAP_S, TWIN_GAP_S, Gaps

NOW_S = 1_000.0
TOLERANCE_S = 1e-9


def line(text: str) -> GameEvent:
    return {"type": "log", "data": {"msg": text}}


def of(player: str, event_type: str = "chat-message", msg: str = "") -> GameEvent:
    return {"type": event_type, "data": {"player": {"gameId": player, "name": "A"}, "msg": msg}}


def delays(events: list[GameEvent]) -> list[tuple[float, list[GameEvent]]]:
    return [(round(due_s - NOW_S, 6), burst) for due_s, burst in Gaps().spread(events, NOW_S)]


def test_different_lines_and_different_players_go_at_once() -> None:
    events = [line("a"), of("1"), line("b"), of("2"), of("3", "player-death")]
    assert delays(events) == [(0, events)]


def test_a_window_without_events_is_one_empty_burst() -> None:
    assert delays([]) == [(0, [])]


def test_a_player_s_events_keep_their_gap_and_nobody_else_waits() -> None:
    come, go, die = (of("1", f"player-{what}") for what in ("connected", "disconnected", "death"))
    other = of("2")
    assert delays([come, go, die, other]) == [
        (0, [come, other]),
        (PLAYER_GAP_S, [go]),
        (2 * PLAYER_GAP_S, [die]),
    ]


def test_kills_of_one_player_are_only_kept_from_being_twins() -> None:
    kill, chat = of("1", "entity-killed"), of("1")
    assert delays([kill, kill, chat, kill]) == [
        (0, [kill]),
        (TWIN_GAP_S, [kill]),
        (round(TWIN_GAP_S + PLAYER_GAP_S, 6), [chat]),
        (round(TWIN_GAP_S + 2 * PLAYER_GAP_S, 6), [kill]),
    ]


def test_lines_stay_in_order_behind_a_twin_that_waits() -> None:
    a, b, c = map(line, "abc")
    assert delays([a, b, a, c]) == [(0, [a, b]), (TWIN_GAP_S, [a, c])]


def test_a_chat_line_of_somebody_unknown_is_a_line_like_any() -> None:
    unknown: GameEvent = {"type": "chat-message", "data": {"channel": "global", "msg": "hello"}}
    assert delays([unknown, unknown]) == [(0, [unknown]), (TWIN_GAP_S, [unknown])]


def test_gaps_reach_over_windows() -> None:
    gaps = Gaps()
    gaps.spread([of("1"), line("a")], NOW_S)
    later_s = NOW_S + TWIN_GAP_S
    [_, (due_s, burst)] = gaps.spread([of("1"), line("a")], later_s)
    assert (round(due_s - NOW_S, 6), burst) == (PLAYER_GAP_S, [of("1")])
    assert gaps.spread([of("1")], NOW_S + 1) == [(NOW_S + 1, [of("1")])]


EVENTS = st.one_of(
    st.builds(line, st.sampled_from("ab")),
    st.builds(
        of,
        st.sampled_from("123"),
        st.sampled_from(["chat-message", "player-death", "entity-killed"]),
        st.sampled_from("xy"),
    ),
)
LATENESS_S = st.sampled_from([0.0, 0.0, 0.001, 0.01, 5.0])


def written(windows: list[list[GameEvent]], lateness_s: list[float]) -> list[tuple[float, GameEvent]]:
    """What a pump writes, and when, if its bursts are late by the next of `lateness_s` each."""
    gaps, now_s, found = Gaps(), NOW_S, []
    late_s = itertools.cycle(lateness_s)
    for events in windows:
        for due_s, burst in gaps.spread(events, now_s):
            now_s += max(0.0, gaps.wait_s(due_s, now_s)) + next(late_s)
            found += [(now_s, event) for event in burst]
            gaps.written(due_s, now_s)
        now_s += next(late_s)
    return found


WINDOWS = st.lists(st.lists(EVENTS, max_size=12), max_size=8)
LATENESSES_S = st.lists(st.sampled_from([0.0, 0.001, 0.01, 5.0]), min_size=1)


@given(WINDOWS, LATENESSES_S)
def test_gaps_hold_however_late_a_burst_is_written(
    windows: list[list[GameEvent]], lateness_s: list[float]
) -> None:
    for (early_s, one), (late_s, other) in itertools.combinations(written(windows, lateness_s), 2):
        gap_s = late_s - early_s + TOLERANCE_S
        if one == other:
            assert gap_s >= TWIN_GAP_S
        if "player" in one["data"] and one["data"]["player"] == other["data"].get("player"):
            kills = one["type"] == other["type"] == "entity-killed"
            assert gap_s >= (TWIN_GAP_S if kills else PLAYER_GAP_S)


@given(WINDOWS, LATENESSES_S)
def test_each_event_is_written_once_and_behind_those_of_its_player(
    windows: list[list[GameEvent]], lateness_s: list[float]
) -> None:
    def by_player(events: Iterable[GameEvent]) -> dict[str, list[GameEvent]]:
        found: dict[str, list[GameEvent]] = {}
        for event in events:
            found.setdefault(event["data"].get("player", {}).get("gameId", ""), []).append(event)
        return found

    sent = by_player(event for _, event in written(windows, lateness_s))
    assert sent == by_player(itertools.chain(*windows))


@given(st.lists(EVENTS, max_size=32))
def test_the_first_event_of_each_player_goes_at_once(events: list[GameEvent]) -> None:
    (_, at_once), *_ = Gaps().spread(events, NOW_S)
    players = {event["data"]["player"]["gameId"] for event in events if "player" in event["data"]}
    assert players == {event["data"]["player"]["gameId"] for event in at_once if "player" in event["data"]}
