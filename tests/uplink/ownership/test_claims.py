"""What an uplink does about a lease: take what is free, leave what is held, move without a gap."""

from services.uplink.ownership.claims import (
    MOVES,
    PATIENCE_S,
    STILL_FOR_S,
    WANTED_FOR_S,
    Claim,
    Claims,
    ClaimState,
    ClaimStep,
    LookResult,
    Seen,
)

FREE = Seen(mine=False)
TAKE = Claim(take=True, want=False, dead="")
LOOK = Claim(take=False, want=False, dead="")


def mine(
    beat: int, *, newest: bool = True, doubt: str = "", wanted: bool = False, ready: bool = False
) -> Seen:
    return Seen(mine=True, newest=newest, doubt=doubt, record=f"me {beat}", wanted=wanted, ready=ready)


def theirs(beat: int) -> Seen:
    return Seen(mine=False, record=f"other {beat}")


def saw(claims: Claims, now_s: float, seen: Seen, *, ours: bool = True, may_move: bool = True) -> ClaimStep:
    return claims.saw(now_s, seen, ours=ours, may_move=lambda: may_move)


def test_a_free_instance_of_ours_is_taken_at_once() -> None:
    claims = Claims()
    assert claims.next(0, ours=True) == TAKE
    assert saw(claims, 0, mine(1)) is ClaimStep.BEGIN
    assert claims.next(1, ours=True) == TAKE and saw(claims, 1, mine(2)) is ClaimStep.NOTHING


def test_a_free_instance_of_another_uplink_is_taken_after_a_while() -> None:
    claims = Claims()
    assert claims.next(0, ours=False) == LOOK
    assert saw(claims, 0, FREE, ours=False) is ClaimStep.NOTHING
    assert claims.next(PATIENCE_S, ours=False) == LOOK
    assert claims.next(PATIENCE_S + 0.1, ours=False) == TAKE


def test_an_owner_keeps_an_instance_of_another_uplink_until_that_one_is_ready() -> None:
    claims = Claims()
    saw(claims, 0, mine(1))
    assert saw(claims, 1, mine(2), ours=False) is ClaimStep.NOTHING
    assert saw(claims, 2, mine(3, wanted=True), ours=False) is ClaimStep.NOTHING
    assert saw(claims, 3, mine(4, wanted=True, ready=True), ours=False) is ClaimStep.HAND_OVER
    assert saw(claims, 4, mine(5, wanted=True, ready=True), ours=False) is ClaimStep.NOTHING  # it is at it
    claims.let_go(4.5)
    assert claims.next(5, ours=False) == LOOK


def test_the_uplink_that_an_instance_belongs_to_stands_by_and_takes_over() -> None:
    claims = Claims()
    assert saw(claims, 0, theirs(1), may_move=False) is ClaimStep.NOTHING
    assert saw(claims, 1, theirs(2)) is ClaimStep.STAND_BY
    assert claims.next(2, ours=True) == Claim(take=True, want=True, dead="")
    assert saw(claims, 2, theirs(3)) is ClaimStep.NOTHING
    assert saw(claims, 3, mine(1)) is ClaimStep.BEGIN
    assert claims.next(4, ours=True) == TAKE


def test_an_uplink_that_stands_by_finishes_the_move_even_for_a_third_one() -> None:
    claims = Claims()
    saw(claims, 0, theirs(1))
    assert saw(claims, 1, theirs(2), ours=False) is ClaimStep.NOTHING
    assert claims.next(2, ours=False) == Claim(take=True, want=True, dead="")
    assert saw(claims, 2, mine(1), ours=False) is ClaimStep.BEGIN
    assert saw(claims, 3, mine(2, wanted=True, ready=True), ours=False) is ClaimStep.HAND_OVER


def test_an_owner_replaces_its_socket_once_the_uplink_that_stood_by_is_gone() -> None:
    claims = Claims()
    saw(claims, 0, mine(1))
    saw(claims, 1, mine(2, newest=False, wanted=True))
    assert saw(claims, 2, mine(3, newest=False)) is ClaimStep.NOTHING
    assert saw(claims, 2 + WANTED_FOR_S, mine(4, newest=False)) is ClaimStep.NOTHING
    assert saw(claims, 2.1 + WANTED_FOR_S, mine(5, newest=False)) is ClaimStep.LOOK_AFTER_SOCKET
    assert saw(claims, 3 + WANTED_FOR_S, mine(6, newest=False)) is ClaimStep.NOTHING  # it is at it
    assert saw(claims, 60, mine(7)) is ClaimStep.NOTHING


def test_an_owner_that_could_not_look_does_not_take_that_for_silence() -> None:
    claims = Claims()
    saw(claims, 0, mine(1))
    saw(claims, 1, mine(2, newest=False, wanted=True))
    assert saw(claims, 20, mine(3, newest=False)) is ClaimStep.NOTHING
    assert saw(claims, 21, mine(4, newest=False, wanted=True)) is ClaimStep.NOTHING
    assert saw(claims, 30, mine(5, newest=False)) is ClaimStep.NOTHING


def test_an_owner_takes_an_identify_without_an_answer_for_over_when_it_stood_still_for_long() -> None:
    claims = Claims()
    saw(claims, 0, mine(1))
    for second in range(1, 12):
        saw(claims, second, mine(second, newest=False, doubt="a dead one"))
        assert claims.next(second, ours=True).settled == ""
    assert claims.next(1 + STILL_FOR_S + 0.1, ours=True).settled == "a dead one"
    saw(claims, 12, mine(12, newest=False, doubt="another one"))
    assert claims.next(13, ours=True).settled == ""
    saw(claims, 30, mine(30, newest=False))
    assert claims.next(60, ours=True).settled == ""


def test_an_owner_identifies_again_for_as_long_as_another_may_come_after_it() -> None:
    claims = Claims()
    saw(claims, 0, mine(1))
    steps = [saw(claims, n, mine(n, newest=False, doubt="a dead one")) for n in range(1, 12)]
    assert steps.count(ClaimStep.LOOK_AFTER_SOCKET) == 2
    assert saw(claims, 12, mine(12)) is ClaimStep.NOTHING


def test_only_an_owner_takes_an_identify_for_over() -> None:
    claims = Claims()
    for second in range(30):
        saw(claims, second, Seen(mine=False, doubt="a dead one", record=f"other {second}"), ours=False)
        assert claims.next(second, ours=False) == LOOK


def test_an_owner_that_finds_another_uplink_in_its_place_has_lost() -> None:
    claims = Claims()
    saw(claims, 0, mine(1))
    assert saw(claims, 9, theirs(1), ours=False) is ClaimStep.LOST
    assert claims.next(10, ours=False) == LOOK


def test_a_record_that_stands_still_is_dead_whatever_its_time_to_live_says() -> None:
    claims = Claims()
    saw(claims, 0, theirs(7), ours=False)
    assert claims.next(STILL_FOR_S, ours=False) == LOOK
    assert claims.next(STILL_FOR_S + 0.1, ours=False) == Claim(take=True, want=False, dead="other 7")


def test_a_record_that_changes_is_alive_for_as_long_as_it_does() -> None:
    claims = Claims()
    for second in range(60):
        saw(claims, second, theirs(second), ours=False)
        assert claims.next(second, ours=False) == LOOK


def test_an_uplink_that_stands_by_takes_a_dead_record() -> None:
    claims = Claims()
    saw(claims, 0, theirs(7))
    assert claims.next(STILL_FOR_S + 0.1, ours=True) == Claim(take=True, want=False, dead="other 7")


def test_an_uplink_whose_standby_socket_is_no_longer_the_newest_gets_another() -> None:
    claims = Claims()
    assert saw(claims, 1, theirs(2)) is ClaimStep.STAND_BY
    assert saw(claims, 2, Seen(mine=False, record="a third 1")) is ClaimStep.NOTHING
    assert saw(claims, 3, mine(1, newest=False)) is ClaimStep.BEGIN_ANEW
    assert saw(claims, 4, mine(2)) is ClaimStep.NOTHING


def test_a_stopped_uplink_does_nothing_about_what_a_last_look_finds() -> None:
    for last in (mine(1), mine(1, newest=False), mine(1, wanted=True, ready=True), theirs(1), FREE):
        claims = Claims()
        saw(claims, 0, mine(0))
        claims.stop()
        assert saw(claims, 1, last) is ClaimStep.NOTHING
        claims.let_go(2)
        assert claims.state is ClaimState.STOPPED


def test_each_state_has_a_move_for_a_lease_of_others_and_for_one_of_ours() -> None:
    assert set(MOVES) == set(ClaimState)
    for moves in MOVES.values():
        assert {LookResult.OTHERS, LookResult.ASKED, LookResult.UNASKED} <= set(moves)
