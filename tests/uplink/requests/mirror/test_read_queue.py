"""Reads for the mod are merged, ordered by need, and sent at a rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.protocol.vocabulary import Action
from services.relay.service.settings import Uplink
from services.uplink.requests.mirror.read_queue import BURST_S, MAX_REFRESHES, MAX_UNDER_WAY, Need, ReadQueue
from services.uplink.requests.mirror.read_rules import OF_EACH_PLAYER, Subject

ADA = Subject(Action.GET_PLAYER_LOCATION, "ada")
BOB = Subject(Action.GET_PLAYER_LOCATION, "bob")
BAG = Subject(Action.GET_PLAYER_INVENTORY, "ada")
ITEMS = Subject(Action.LIST_ITEMS)
REFRESH_DELAY_S = 2.0


def test_equal_reads_are_sent_once() -> None:
    queue = ReadQueue(10.0, REFRESH_DELAY_S, 0.0)
    for _ in range(5):
        queue.add(ADA, 0.0, Need.STALE)
    assert queue.take(REFRESH_DELAY_S) == [ADA]
    queue.add(ADA, REFRESH_DELAY_S, Need.WAITED_FOR)  # it is under way, and its answer counts for this one
    assert queue.take(REFRESH_DELAY_S) == []
    queue.done(ADA)
    queue.add(ADA, REFRESH_DELAY_S, Need.STALE)
    assert queue.take(2 * REFRESH_DELAY_S) == [ADA]


def test_refreshes_are_sent_after_their_delay() -> None:
    queue = ReadQueue(10.0, REFRESH_DELAY_S, 0.0)
    queue.add(ADA, 0.0, Need.STALE)
    queue.add(ADA, 1.0, Need.STALE)  # that does not delay it again
    assert queue.take(0.0) == [] and queue.wait_s(0.0) == REFRESH_DELAY_S
    assert queue.take(REFRESH_DELAY_S) == [ADA]


def test_refreshes_are_sent_in_groups_of_one_poll() -> None:
    queue, subjects = (
        ReadQueue(4.0, REFRESH_DELAY_S, 0.0),
        [Subject(Action.GET_PLAYER, str(n)) for n in range(20)],
    )
    for subject in subjects:
        queue.add(subject, 0.0, Need.STALE)
    assert queue.take(2.0) == subjects[:8]
    assert queue.take(3.0) == [] and queue.wait_s(3.0) == 1.0
    assert queue.take(4.0) == subjects[8:16]
    for subject in subjects[:16]:
        queue.done(subject)
    assert queue.wait_s(4.0) == 1.0  # the last four need no full bucket
    assert queue.take(5.0) == subjects[16:]


def test_a_read_that_a_request_waits_for_is_sent_at_once() -> None:
    queue = ReadQueue(4.0, REFRESH_DELAY_S, 0.0)
    for number in range(20):
        queue.add(Subject(Action.GET_PLAYER, str(number)), 0.0, Need.STALE)
    assert len(queue.take(2.0)) == 8
    queue.add(ADA, 2.0, Need.WAITED_FOR)
    assert queue.wait_s(2.0) == 0.25
    assert queue.take(2.25) == [ADA]


def test_add_and_done_say_when_the_wait_may_be_shorter() -> None:
    queue = ReadQueue(10.0, REFRESH_DELAY_S, 0.0)
    wanted = [queue.add(one, 0.0, Need.STALE) for one in (ADA, ADA, BOB)]
    assert wanted == [True, False, False]
    assert queue.add(BAG, 0.0, Need.WAITED_FOR)
    assert not queue.add(BAG, 0.0, Need.WAITED_FOR)
    assert queue.take(0.0) == [BAG] and not queue.done(BAG)


def test_a_new_read_does_not_delay_one_of_lower_rank() -> None:
    queue = ReadQueue(10.0, REFRESH_DELAY_S, 0.0)
    queue.add(BAG, 0.0, Need.STALE)
    queue.add(BOB, 1.0, Need.STALE)
    assert queue.take(REFRESH_DELAY_S) == [BAG]
    assert queue.take(1.0 + REFRESH_DELAY_S) == [BOB]


def test_reads_that_a_request_waits_for_go_first_then_by_rank_then_by_age() -> None:
    queue = ReadQueue(10.0, REFRESH_DELAY_S, 0.0)
    for now_s, subject in enumerate((ITEMS, BAG, BOB)):
        queue.add(subject, float(now_s), Need.STALE)
    queue.add(ADA, 9.0, Need.WAITED_FOR)
    assert queue.take(9.0) == [ADA, BOB, BAG, ITEMS]


def test_a_refresh_that_a_request_begins_to_wait_for_moves_to_the_front() -> None:
    queue = ReadQueue(10.0, REFRESH_DELAY_S, 0.0)
    queue.add(ITEMS, 0.0, Need.STALE)
    queue.add(ADA, 0.0, Need.STALE)
    queue.add(ITEMS, 1.0, Need.WAITED_FOR)
    assert queue.take(1.0) == [ITEMS]
    assert queue.take(REFRESH_DELAY_S) == [ADA]


def test_unknown_reads_go_before_stale_ones_of_any_rank() -> None:
    queue = ReadQueue(10.0, REFRESH_DELAY_S, 0.0)
    queue.add(ADA, 0.0, Need.STALE)
    queue.add(BAG, 0.0, Need.UNKNOWN)
    assert queue.take(REFRESH_DELAY_S) == [BAG, ADA]


@given(st.lists(st.tuples(st.sampled_from([ADA, BOB, BAG, ITEMS]), st.sampled_from(Need)), max_size=20))
def test_a_read_goes_out_once_and_by_its_greatest_need(added: list[tuple[Subject, Need]]) -> None:
    queue, needs = ReadQueue(10.0, REFRESH_DELAY_S, 0.0), dict[Subject, Need]()
    for subject, need in added:
        queue.add(subject, 0.0, need)
        needs[subject] = min(need, needs.get(subject, need))
    taken = queue.take(REFRESH_DELAY_S)
    assert sorted(taken) == sorted(needs)
    assert [needs[subject] for subject in taken] == sorted(needs.values())
    assert queue.wait_s(REFRESH_DELAY_S) is None


@pytest.mark.parametrize("players", [1, 20, 50, 80])
def test_within_45_s_the_default_pace_reads_place_and_inventory_of_all_who_joined(players: int) -> None:
    """Takaro's first burst comes up to 45 s after the players. The mod polls each 2 s, and answers by the
    next poll. In each poll it gets no more than the pace has saved up."""
    per_s = Uplink().reads_per_s
    queue, left, now_s = ReadQueue(per_s, REFRESH_DELAY_S, 0.0), set[Subject](), 0.0
    under_way: list[Subject] = []
    for number in range(players):
        for action in OF_EACH_PLAYER:
            left.add(Subject(action, str(number)))
            queue.add(Subject(action, str(number)), 0.0, Need.UNKNOWN)
    while left:
        assert now_s < 45.0
        for subject in under_way:
            queue.done(subject)
            left.discard(subject)
        under_way = queue.take(now_s)
        assert len(under_way) <= per_s * BURST_S
        now_s += 2.0


def test_refreshes_are_queued_up_to_a_limit() -> None:
    queue = ReadQueue(10.0, REFRESH_DELAY_S, 0.0)
    for number in range(MAX_REFRESHES + 5):
        queue.add(Subject(Action.GET_PLAYER, str(number)), 0.0, Need.STALE)
    queue.add(ADA, 0.0, Need.WAITED_FOR)
    assert queue.take(0.0) == [ADA]
    queue.done(ADA)
    now_s, sent = REFRESH_DELAY_S, 0
    while taken := queue.take(now_s):
        sent += len(taken)
        for subject in taken:
            queue.done(subject)
        now_s += BURST_S
    assert sent == MAX_REFRESHES


def test_an_empty_queue_has_nothing_to_wait_for() -> None:
    assert ReadQueue(10.0, REFRESH_DELAY_S, 0.0).wait_s(0.0) is None


def test_no_more_reads_are_under_way_than_the_limit() -> None:
    queue = ReadQueue(100.0, REFRESH_DELAY_S, 0.0)
    subjects = [Subject(Action.GET_PLAYER_LOCATION, str(n)) for n in range(50)]
    for subject in subjects:
        queue.add(subject, 0.0, Need.WAITED_FOR)
    assert len(queue.take(0.0)) == MAX_UNDER_WAY
    assert queue.wait_s(100.0) is None
    assert queue.done(subjects[0])
    assert len(queue.take(100.0)) == 1


@given(
    per_s=st.floats(min_value=0.1, max_value=50.0),
    steps_s=st.lists(st.floats(min_value=0.0, max_value=5.0), max_size=60),
)
def test_the_rate_and_the_saved_burst_are_never_exceeded(per_s: float, steps_s: list[float]) -> None:
    queue, now_s, taken = ReadQueue(per_s, REFRESH_DELAY_S, 0.0), 0.0, 0
    for number, step_s in enumerate(steps_s):
        now_s += step_s
        for extra in range(10):
            queue.add(Subject(Action.GET_PLAYER, f"{number}-{extra}"), now_s, Need.STALE)
        for subject in queue.take(now_s + REFRESH_DELAY_S):
            queue.done(subject)
            taken += 1
    now_s += REFRESH_DELAY_S
    assert taken <= now_s * per_s + max(1.0, per_s * BURST_S) + 1e-6


@given(per_s=st.floats(min_value=0.1, max_value=50.0))
def test_after_the_time_of_wait_s_a_read_may_be_sent(per_s: float) -> None:
    queue, now_s = ReadQueue(per_s, REFRESH_DELAY_S, 0.0), 0.0
    for number in range(200):
        queue.add(Subject(Action.GET_PLAYER, str(number)), 0.0, Need.STALE)
    for _ in range(5):
        for subject in queue.take(now_s):
            queue.done(subject)
        wait_s = queue.wait_s(now_s)
        if not wait_s:
            return
        now_s += wait_s + 1e-9
        assert queue.wait_s(now_s) == 0.0
