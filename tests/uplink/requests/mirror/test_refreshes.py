"""What the mod is asked for: merged, ordered by need, at a pace."""

from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.vocabulary import Action
from services.uplink.requests.mirror.mirror import Subject
from services.uplink.requests.mirror.refreshes import BURST_S, MAX_UNDER_WAY, MAX_WANTED, Refreshes

ADA = Subject(Action.GET_PLAYER_LOCATION, "ada")
BOB = Subject(Action.GET_PLAYER_LOCATION, "bob")
BAG = Subject(Action.GET_PLAYER_INVENTORY, "ada")
ITEMS = Subject(Action.LIST_ITEMS)
CALM_S = 2.0


def test_what_is_wanted_often_is_asked_once() -> None:
    refreshes = Refreshes(10.0, CALM_S, 0.0)
    for _ in range(5):
        refreshes.want(ADA, 0.0, somebody_waits=False)
    assert refreshes.take(CALM_S) == [ADA]
    refreshes.want(ADA, CALM_S, somebody_waits=True)  # it is under way: its answer will do
    assert refreshes.take(CALM_S) == []
    refreshes.done(ADA)
    refreshes.want(ADA, CALM_S, somebody_waits=False)
    assert refreshes.take(2 * CALM_S) == [ADA]


def test_what_nobody_waits_for_leaves_once_the_moment_is_over() -> None:
    refreshes = Refreshes(10.0, CALM_S, 0.0)
    refreshes.want(ADA, 0.0, somebody_waits=False)
    refreshes.want(ADA, 1.0, somebody_waits=False)  # that does not put it off again
    assert refreshes.take(0.0) == [] and refreshes.wait_s(0.0) == CALM_S
    assert refreshes.take(CALM_S) == [ADA]


def test_what_nobody_waits_for_leaves_in_groups_as_large_as_a_poll_fetches() -> None:
    refreshes, subjects = Refreshes(4.0, CALM_S, 0.0), [Subject(Action.GET_PLAYER, str(n)) for n in range(20)]
    for subject in subjects:
        refreshes.want(subject, 0.0, somebody_waits=False)
    assert refreshes.take(2.0) == subjects[:8]
    assert refreshes.take(3.0) == [] and refreshes.wait_s(3.0) == 1.0
    assert refreshes.take(4.0) == subjects[8:16]
    for subject in subjects[:16]:
        refreshes.done(subject)
    assert refreshes.wait_s(4.0) == 1.0  # the last four need no full bucket
    assert refreshes.take(5.0) == subjects[16:]


def test_what_somebody_waits_for_leaves_alone_and_at_once() -> None:
    refreshes = Refreshes(4.0, CALM_S, 0.0)
    for number in range(20):
        refreshes.want(Subject(Action.GET_PLAYER, str(number)), 0.0, somebody_waits=False)
    assert len(refreshes.take(2.0)) == 8
    refreshes.want(ADA, 2.0, somebody_waits=True)
    assert refreshes.wait_s(2.0) == 0.25
    assert refreshes.take(2.25) == [ADA]


def test_who_looks_is_told_when_it_may_be_sooner() -> None:
    refreshes = Refreshes(10.0, CALM_S, 0.0)
    wanted = [refreshes.want(one, 0.0, somebody_waits=False) for one in (ADA, ADA, BOB)]
    assert wanted == [True, False, False]
    assert refreshes.want(BAG, 0.0, somebody_waits=True)
    assert not refreshes.want(BAG, 0.0, somebody_waits=True)
    assert refreshes.take(0.0) == [BAG] and not refreshes.done(BAG)


def test_one_that_is_new_does_not_keep_back_another_of_lower_rank() -> None:
    refreshes = Refreshes(10.0, CALM_S, 0.0)
    refreshes.want(BAG, 0.0, somebody_waits=False)
    refreshes.want(BOB, 1.0, somebody_waits=False)
    assert refreshes.take(CALM_S) == [BAG]
    assert refreshes.take(1.0 + CALM_S) == [BOB]


def test_what_somebody_waits_for_goes_first_then_by_rank_then_by_patience() -> None:
    refreshes = Refreshes(10.0, CALM_S, 0.0)
    for now_s, subject in enumerate((ITEMS, BAG, BOB)):
        refreshes.want(subject, float(now_s), somebody_waits=False)
    refreshes.want(ADA, 9.0, somebody_waits=True)
    assert refreshes.take(9.0) == [ADA, BOB, BAG, ITEMS]


def test_one_that_somebody_begins_to_wait_for_moves_to_the_front() -> None:
    refreshes = Refreshes(10.0, CALM_S, 0.0)
    refreshes.want(ITEMS, 0.0, somebody_waits=False)
    refreshes.want(ADA, 0.0, somebody_waits=False)
    refreshes.want(ITEMS, 1.0, somebody_waits=True)
    assert refreshes.take(1.0) == [ITEMS]
    assert refreshes.take(CALM_S) == [ADA]


def test_what_nobody_waits_for_is_wanted_up_to_a_bound() -> None:
    refreshes = Refreshes(10.0, CALM_S, 0.0)
    for number in range(MAX_WANTED + 5):
        refreshes.want(Subject(Action.GET_PLAYER, str(number)), 0.0, somebody_waits=False)
    assert len(refreshes) == MAX_WANTED
    refreshes.want(ADA, 0.0, somebody_waits=True)
    assert refreshes.take(0.0) == [ADA]


def test_nothing_wanted_means_nothing_to_wait_for() -> None:
    assert Refreshes(10.0, CALM_S, 0.0).wait_s(0.0) is None


def test_no_more_are_under_way_than_the_mod_can_have_in_its_hands() -> None:
    refreshes = Refreshes(100.0, CALM_S, 0.0)
    subjects = [Subject(Action.GET_PLAYER_LOCATION, str(n)) for n in range(50)]
    for subject in subjects:
        refreshes.want(subject, 0.0, somebody_waits=True)
    assert len(refreshes.take(0.0)) == MAX_UNDER_WAY
    assert refreshes.wait_s(100.0) is None
    assert refreshes.done(subjects[0])
    assert len(refreshes.take(100.0)) == 1


@given(
    per_s=st.floats(min_value=0.1, max_value=50.0),
    steps_s=st.lists(st.floats(min_value=0.0, max_value=5.0), max_size=60),
)
def test_never_more_than_the_pace_and_what_a_quiet_time_saved_up(per_s: float, steps_s: list[float]) -> None:
    refreshes, now_s, taken = Refreshes(per_s, CALM_S, 0.0), 0.0, 0
    for number, step_s in enumerate(steps_s):
        now_s += step_s
        for extra in range(10):
            refreshes.want(Subject(Action.GET_PLAYER, f"{number}-{extra}"), now_s, somebody_waits=False)
        for subject in refreshes.take(now_s + CALM_S):
            refreshes.done(subject)
            taken += 1
    now_s += CALM_S
    assert taken <= now_s * per_s + max(1.0, per_s * BURST_S) + 1e-6


@given(per_s=st.floats(min_value=0.1, max_value=50.0))
def test_after_the_wait_it_says_the_next_one_leaves(per_s: float) -> None:
    refreshes, now_s = Refreshes(per_s, CALM_S, 0.0), 0.0
    for number in range(200):
        refreshes.want(Subject(Action.GET_PLAYER, str(number)), 0.0, somebody_waits=False)
    for _ in range(5):
        for subject in refreshes.take(now_s):
            refreshes.done(subject)
        wait_s = refreshes.wait_s(now_s)
        if not wait_s:
            return
        now_s += wait_s + 1e-9
        assert refreshes.wait_s(now_s) == 0.0
