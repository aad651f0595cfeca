"""Alerts begin and end, and each transition is sent once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.uplink.reporting.alerts.conditions import (
    AGAIN_AFTER_S,
    RULES,
    Condition,
    Sighting,
    Transition,
    Watch,
)

WELL = Sighting("A server", silent_s=1.0, unheard_s=1.0, link="ready", events=0, fullness=0.0, oldest_s=0.0)
SILENT = replace(WELL, silent_s=200.0, unheard_s=200.0)
REFUSED = replace(WELL, link="refused")
BEHIND = replace(WELL, events=10, oldest_s=400.0)
WALL_S = 1_800_000_000.0


def sent(watch: Watch, sighting: Sighting, at_s: float, arrived: bool = True) -> list[Transition]:
    """The transitions of this sighting. Each message arrives at once, or not at all."""
    found = watch.transitions("a", sighting, at_s, WALL_S + at_s)
    for one in found:
        watch.settle(one, arrived, at_s)
    return found


def transitions(watch: Watch, *seen: tuple[float, Sighting]) -> list[tuple[float, str, bool]]:
    """Each transition: the second, the condition, whether it began."""
    return [
        (at_s, one.condition.value, one.began)
        for at_s, sighting in seen
        for one in sent(watch, sighting, at_s)
    ]


def steadily(sighting: Sighting, begin_s: float, end_s: float) -> list[tuple[float, Sighting]]:
    return [(float(at_s), sighting) for at_s in range(int(begin_s), int(end_s), 5)]


@pytest.mark.parametrize(
    ("bad", "condition", "begins_s", "ends_s"),
    [(SILENT, "silent", 15, 30), (REFUSED, "refused", 0, 10), (BEHIND, "backlog", 30, 30)],
)
def test_a_condition_sends_its_beginning_and_its_end(
    bad: Sighting, condition: str, begins_s: float, ends_s: float
) -> None:
    watch = Watch({}, 180)
    assert transitions(watch, *steadily(bad, 0, 300)) == [(begins_s, condition, True)]
    assert transitions(watch, *steadily(WELL, 300, 600)) == [(300 + ends_s, condition, False)]
    assert watch.reported == {}


def test_the_start_of_a_condition_is_when_it_began_and_not_when_it_was_noticed() -> None:
    watch = Watch({}, 180)
    watch.transitions("a", SILENT, 0, WALL_S)
    (silent,) = watch.transitions("a", replace(SILENT, unheard_s=215.0), 15, WALL_S + 15)
    assert silent.since_s == WALL_S - 200
    watch = Watch({}, 180)
    watch.transitions("a", BEHIND, 0, WALL_S)
    (behind,) = watch.transitions("a", BEHIND, 30, WALL_S + 30)
    assert behind.since_s == WALL_S + 30 - 400


def test_a_new_process_waits_its_own_time_and_reports_the_true_silence() -> None:
    watch = Watch({}, 180)
    young = [
        (float(at_s), replace(WELL, silent_s=float(at_s), unheard_s=372.0 + at_s)) for at_s in range(200)
    ]
    (silent,) = [one for at_s, seen in young for one in sent(watch, seen, at_s)]
    assert (silent.at_s, silent.since_s) == (WALL_S + 196, WALL_S - 372)
    (back,) = [one for at_s, seen in steadily(WELL, 200, 300) for one in sent(watch, seen, at_s)]
    assert back.since_s == WALL_S - 372


@pytest.mark.parametrize(
    "seen",
    [
        WELL,
        replace(WELL, silent_s=None),  # a mod that has never called is not silent: it is not set up yet
        replace(WELL, silent_s=179.0),
        replace(WELL, link="waiting"),
        replace(WELL, oldest_s=299.0, fullness=0.5),
    ],
)
def test_values_below_the_thresholds_send_nothing(seen: Sighting) -> None:
    assert transitions(Watch({}, 180), *steadily(seen, 0, 1_000)) == []


@pytest.mark.parametrize(
    ("condition", "between"),
    [
        (Condition.SILENT, replace(WELL, silent_s=100.0)),
        (Condition.REFUSED, replace(WELL, link="connecting")),
        (Condition.BACKLOG, replace(WELL, oldest_s=200.0, fullness=0.4)),
    ],
)
def test_between_the_two_rules_nothing_changes(condition: Condition, between: Sighting) -> None:
    assert transitions(Watch({}, 180), *steadily(between, 0, 1_000)) == []
    assert transitions(Watch({condition: WALL_S}, 180), *steadily(between, 0, 1_000)) == []


def test_a_value_that_wavers_sends_one_alert() -> None:
    wavering = [(float(at_s), REFUSED if at_s % 15 < 5 else WELL) for at_s in range(0, 600, 5)]
    assert transitions(Watch({}, 180), *wavering) == [(0, "refused", True)]


def test_an_old_last_contact_after_an_outage_is_not_a_silence() -> None:
    after_an_outage = [*steadily(SILENT, 0, 15), *steadily(WELL, 15, 100)]
    assert transitions(Watch({}, 180), *after_an_outage) == []


def test_a_new_owner_does_not_repeat_an_alert_and_sends_its_end() -> None:
    watch = Watch({Condition.SILENT: WALL_S - 500}, 180)
    # The process has just started, so the silence that it knows of begins at 0.
    young = [(float(at_s), replace(WELL, silent_s=float(at_s))) for at_s in range(0, 300, 5)]
    assert transitions(watch, *young) == []
    (back,) = [one for at_s, seen in steadily(WELL, 300, 400) for one in sent(watch, seen, at_s)]
    assert (back.began, back.since_s) == (False, WALL_S - 500)


def test_an_alert_that_did_not_arrive_is_sent_again_if_it_still_holds() -> None:
    watch = Watch({}, 180)
    assert len(sent(watch, REFUSED, 0, arrived=False)) == 1
    assert watch.reported == {}
    assert transitions(watch, *steadily(REFUSED, 5, 2_000)) == [(AGAIN_AFTER_S, "refused", True)]
    sent(watch, WELL, 2_000)
    assert len(sent(watch, WELL, 2_010, arrived=False)) == 1
    assert transitions(watch, *steadily(WELL, 2_015, 5_000)) == [(2_010 + AGAIN_AFTER_S, "refused", False)]


def test_an_alert_that_did_not_arrive_and_is_over_is_not_sent() -> None:
    watch = Watch({}, 180)
    sent(watch, REFUSED, 0, arrived=False)
    assert transitions(watch, *steadily(WELL, 5, 2_000)) == []


def test_an_alert_on_its_way_is_not_repeated_and_ends_only_after_it_has_arrived() -> None:
    watch = Watch({}, 180)
    (began,) = watch.transitions("a", REFUSED, 0, WALL_S)
    assert transitions(watch, *steadily(REFUSED, 5, 100), *steadily(WELL, 100, 200)) == []
    watch.settle(began, True, 200)
    assert transitions(watch, *steadily(WELL, 200, 300)) == [(210, "refused", False)]


def test_a_new_process_does_not_take_a_silence_for_a_return() -> None:
    rule = RULES[Condition.SILENT]
    longest_s = next(at_s for at_s in range(1_000) if not rule.ends(replace(WELL, silent_s=float(at_s))))
    assert rule.ends_for_s > longest_s


@given(
    st.lists(
        st.builds(
            Sighting,
            name=st.just("A server"),
            silent_s=st.none() | st.floats(0, 1_000),
            unheard_s=st.floats(0, 1_000),
            link=st.sampled_from(["ready", "refused", "waiting", ""]),
            events=st.integers(0, 100_000),
            fullness=st.floats(0, 1),
            oldest_s=st.floats(0, 1_000),
        ),
        max_size=100,
    )
)
def test_for_any_sightings_beginnings_and_ends_alternate(sightings: list[Sighting]) -> None:
    watch = Watch({}, 180)
    found = transitions(watch, *((5.0 * number, seen) for number, seen in enumerate(sightings)))
    for condition in Condition:
        turns = [began for _, what, began in found if what == condition]
        assert turns == [number % 2 == 0 for number in range(len(turns))]
        assert (condition in watch.reported) == (len(turns) % 2 == 1)
