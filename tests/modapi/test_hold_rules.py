"""Polls are held briefly at first, longer on proof that it does no harm, and not at all on a sign of harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi import hold_rules
from services.modapi.hold_rules import (
    EARLY_S,
    FALL_BACK_S,
    GAP_S,
    HASTY_POLLS,
    SAFE_S,
    START_S,
    Ending,
    HoldRules,
)

LIMIT_S = 5.0
FIRST_S = START_S - EARLY_S


class RuledMod:
    """A mod under these rules, on a clock of its own."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.rules = HoldRules(limit_s)
        self.now_s = 1_000.0

    @property
    def allowed_s(self) -> float:
        return self.rules.allowed_s(self.now_s)

    def poll(self, *, events_meanwhile: bool = False, ending: Ending = Ending.EMPTY) -> float:
        """One poll to its end, a second after the one before; how long it was to be held."""
        self.now_s += 1.0
        hold_s = self.rules.begin(self.now_s)
        if hold_s and events_meanwhile:
            self.rules.called(self.now_s + hold_s / 2, events=True)
        self.now_s += hold_s
        self.rules.end(self.now_s, ending)
        return hold_s

    def prove(self) -> None:
        for _ in range(4):
            self.poll(events_meanwhile=True)

    def events_right_behind(self) -> bool:
        self.now_s += 0.05
        return self.rules.called(self.now_s, events=True)


@pytest.mark.parametrize(
    ("limit_s", "holds"),
    [
        (5.0, [1.0, 2.0, 4.0, 5.0, 5.0]),
        (8.0, [1.0, 2.0, 4.0, 8.0, 8.0]),
        (3.0, [1.0, 2.0, 3.0, 3.0, 3.0]),
        (0.8, [0.8, 0.8, 0.8, 0.8, 0.8]),
        (0.0, [EARLY_S] * 5),
    ],
)
def test_a_hold_grows_with_each_proof_up_to_the_limit(limit_s: float, holds: list[float]) -> None:
    mod = RuledMod(limit_s)
    assert [mod.poll(events_meanwhile=True) for _ in holds] == pytest.approx([s - EARLY_S for s in holds])


def test_a_second_call_during_the_same_hold_proves_nothing_more() -> None:
    mod = RuledMod()
    mod.rules.begin(mod.now_s)
    for _ in range(10):
        mod.rules.called(mod.now_s, events=False)
    mod.rules.end(mod.now_s, Ending.COMMAND)
    assert mod.poll() == 2 * START_S - EARLY_S


def test_a_call_between_polls_does_not_lengthen_a_hold() -> None:
    mod = RuledMod()
    for _ in range(10):
        mod.poll()
        mod.rules.called(mod.now_s + 0.5, events=True)
    assert mod.allowed_s == FIRST_S


@pytest.mark.parametrize("ending", [Ending.HUNG_UP, Ending.SUPERSEDED])
def test_a_mod_that_gives_up_a_held_poll_is_left_alone_for_a_good_while(ending: Ending) -> None:
    mod = RuledMod()
    mod.prove()
    mod.poll(ending=ending)
    assert mod.allowed_s == 0.0
    mod.now_s += FALL_BACK_S - 2
    assert mod.poll(events_meanwhile=True) == 0.0
    mod.now_s += 2
    assert mod.poll() == FIRST_S


def test_a_hold_that_was_cut_is_not_as_long_again_until_the_game_server_starts_anew() -> None:
    """That it stopped may have been what cut it."""
    mod = RuledMod()
    mod.prove()
    mod.poll(ending=Ending.HUNG_UP)
    mod.now_s += FALL_BACK_S
    mod.prove()
    assert mod.allowed_s == SAFE_S - EARLY_S
    mod.rules.game_server_started()
    mod.prove()
    assert mod.allowed_s == LIMIT_S - EARLY_S


def test_a_game_server_that_stopped_right_after_its_poll_loses_nothing_for_good() -> None:
    mod = RuledMod()
    mod.poll(ending=Ending.HUNG_UP)
    mod.now_s += FALL_BACK_S
    mod.prove()
    assert mod.allowed_s == LIMIT_S - EARLY_S


def test_events_that_queue_up_behind_holds_end_them() -> None:
    mod = RuledMod()
    mod.prove()
    said = []
    for _ in range(hold_rules.QUEUED_HOLDS):
        assert mod.allowed_s > hold_rules.LONG_S
        mod.poll()
        said.append(mod.events_right_behind())
    assert said == [False] * (hold_rules.QUEUED_HOLDS - 1) + [True]
    assert mod.allowed_s == 0.0


def test_events_during_a_hold_reset_the_count_of_events_right_behind_holds() -> None:
    mod = RuledMod()
    mod.prove()
    for _ in range(4):
        for _ in range(hold_rules.QUEUED_HOLDS - 1):
            mod.poll()
            assert not mod.events_right_behind()
        mod.poll(events_meanwhile=True)
    assert mod.allowed_s == LIMIT_S - EARLY_S


@pytest.mark.parametrize("ending", [Ending.COMMAND, Ending.EMPTY])
def test_events_after_a_command_or_a_short_hold_are_no_sign_of_harm(ending: Ending) -> None:
    mod = RuledMod()
    if ending is Ending.COMMAND:
        mod.prove()
    for _ in range(20):
        mod.poll(ending=ending)
        mod.events_right_behind()  # the effect of the command, or a flush that came just then
    assert mod.allowed_s > 0


@pytest.mark.parametrize("limit_s", [0.0, 5.0])
def test_a_mod_that_polls_at_once_gets_a_gap_even_when_holding_is_off(limit_s: float) -> None:
    rules, now_s, answers = HoldRules(limit_s), 0.0, 0
    while now_s < 60:
        now_s += rules.begin(now_s)
        rules.end(now_s, Ending.EMPTY)
        answers += 1
        now_s += 0.02
    assert answers <= 60 / GAP_S + HASTY_POLLS


def test_a_mod_at_its_usual_pace_gets_no_gap() -> None:
    mod = RuledMod(0.0)
    assert [mod.poll() for _ in range(50)] == [0.0] * 50


STEPS = st.lists(
    st.tuples(
        st.floats(0, 700) | st.floats(0, 0.3),
        st.sampled_from(["poll", "events", "other", *Ending]),
    ),
    max_size=80,
)


@given(limit_s=st.floats(0, 8), steps=STEPS)
def test_no_hold_is_longer_than_the_limit_or_the_gap(
    limit_s: float, steps: list[tuple[float, str | Ending]]
) -> None:
    rules, now_s = HoldRules(limit_s), 0.0
    for wait_s, what in steps:
        now_s += wait_s
        if isinstance(what, Ending):
            rules.end(now_s, what)
        elif what == "poll":
            assert 0 <= rules.begin(now_s) <= max(limit_s, GAP_S)
        else:
            rules.called(now_s, events=what == "events")
        assert 0 <= rules.allowed_s(now_s) <= limit_s


@given(steps=STEPS)
def test_without_proof_no_hold_is_longer_than_the_first(steps: list[tuple[float, str | Ending]]) -> None:
    rules, now_s, held = HoldRules(LIMIT_S), 0.0, False
    for wait_s, what in steps:
        now_s += wait_s
        if isinstance(what, Ending):
            rules.end(now_s, what)
            held = False
        elif what == "poll":
            held = rules.begin(now_s) > 0
        elif not held:
            rules.called(now_s, events=what == "events")
        assert rules.allowed_s(now_s) <= FIRST_S


@given(steps=STEPS)
def test_after_a_hang_up_polls_are_held_for_the_gap_only_for_minutes(
    steps: list[tuple[float, str | Ending]],
) -> None:
    rules, now_s, off_until_s, held = HoldRules(LIMIT_S), 0.0, 0.0, False
    for wait_s, what in steps:
        now_s += wait_s
        if isinstance(what, Ending):
            if held and what in (Ending.HUNG_UP, Ending.SUPERSEDED):
                off_until_s = now_s + FALL_BACK_S
            rules.end(now_s, what)
            held = False
        elif what == "poll":
            hold_s = rules.begin(now_s)
            held = hold_s > 0
            assert hold_s <= GAP_S or now_s >= off_until_s
        else:
            rules.called(now_s, events=what == "events")
