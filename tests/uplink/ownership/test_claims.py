"""What an uplink does about a lease: it takes a free one, leaves a held one, and moves without a gap."""

from services.relay.store.lease_renewal import LeaseRenewal
from services.relay.store.leases import RENEW_EVERY_S
from services.uplink.ownership.claims import (
    MOVES,
    PATIENCE_S,
    STILL_FOR_S,
    WANTED_FOR_S,
    Claim,
    ClaimState,
    ClaimStep,
    LeaseFinding,
    RenewalArgs,
)

FREE = LeaseRenewal(mine=False)
TAKE = RenewalArgs(take=True, want=False, dead="")
READ_ONLY = RenewalArgs(take=False, want=False, dead="")


def mine(
    beat: int, *, newest: bool = True, open_identifies: str = "", wanted: bool = False, ready: bool = False
) -> LeaseRenewal:
    by = "ready" if ready else "waiting" if wanted else ""
    return LeaseRenewal(True, newest, open_identifies, record=f"me {beat}", wanted=by)


def theirs(beat: int) -> LeaseRenewal:
    return LeaseRenewal(mine=False, record=f"other {beat}")


def saw(
    claim: Claim, now_s: float, seen: LeaseRenewal, *, preferred: bool = True, may_move: bool = True
) -> ClaimStep:
    return claim.renewed(now_s, seen, preferred=preferred, may_move=lambda: may_move)


def test_a_free_instance_of_ours_is_taken_at_once() -> None:
    claim = Claim()
    assert claim.next_renewal(0, preferred=True) == TAKE
    assert saw(claim, 0, mine(1)) is ClaimStep.BEGIN
    assert claim.next_renewal(1, preferred=True) == TAKE and saw(claim, 1, mine(2)) is ClaimStep.NOTHING


def test_a_free_instance_of_another_uplink_is_taken_after_a_while() -> None:
    claim = Claim()
    assert claim.next_renewal(0, preferred=False) == READ_ONLY
    assert saw(claim, 0, FREE, preferred=False) is ClaimStep.NOTHING
    assert claim.next_renewal(PATIENCE_S, preferred=False) == READ_ONLY
    assert claim.next_renewal(PATIENCE_S + 0.1, preferred=False) == TAKE


def test_a_renewal_each_second_takes_it_with_the_second_one() -> None:
    """A renewal begins a little after the full second, and its reply comes some milliseconds later."""
    claim = Claim()
    saw(claim, 0.010, FREE, preferred=False)
    assert claim.next_renewal(RENEW_EVERY_S + 0.002, preferred=False) == TAKE


def test_an_owner_keeps_an_instance_of_another_uplink_until_that_one_is_ready() -> None:
    claim = Claim()
    saw(claim, 0, mine(1))
    assert saw(claim, 1, mine(2), preferred=False) is ClaimStep.NOTHING
    assert saw(claim, 2, mine(3, wanted=True), preferred=False) is ClaimStep.NOTHING
    assert saw(claim, 3, mine(4, wanted=True, ready=True), preferred=False) is ClaimStep.HAND_OVER
    assert (
        saw(claim, 4, mine(5, wanted=True, ready=True), preferred=False) is ClaimStep.NOTHING
    )  # it is at it
    claim.let_go(4.5)
    assert claim.next_renewal(5, preferred=False) == READ_ONLY


def test_the_uplink_that_an_instance_belongs_to_stands_by_and_takes_over() -> None:
    claim = Claim()
    assert saw(claim, 0, theirs(1), may_move=False) is ClaimStep.NOTHING
    assert saw(claim, 1, theirs(2)) is ClaimStep.STAND_BY
    assert claim.next_renewal(2, preferred=True) == RenewalArgs(take=True, want=True, dead="")
    assert saw(claim, 2, theirs(3)) is ClaimStep.NOTHING
    assert saw(claim, 3, mine(1)) is ClaimStep.BEGIN
    assert claim.next_renewal(4, preferred=True) == TAKE


def test_an_uplink_that_stands_by_finishes_the_move_even_for_a_third_one() -> None:
    claim = Claim()
    saw(claim, 0, theirs(1))
    assert saw(claim, 1, theirs(2), preferred=False) is ClaimStep.NOTHING
    assert claim.next_renewal(2, preferred=False) == RenewalArgs(take=True, want=True, dead="")
    assert saw(claim, 2, mine(1), preferred=False) is ClaimStep.BEGIN
    assert saw(claim, 3, mine(2, wanted=True, ready=True), preferred=False) is ClaimStep.HAND_OVER


def test_an_owner_replaces_its_socket_once_the_uplink_that_stood_by_is_gone() -> None:
    claim = Claim()
    saw(claim, 0, mine(1))
    saw(claim, 1, mine(2, newest=False, wanted=True))
    assert saw(claim, 2, mine(3, newest=False)) is ClaimStep.NOTHING
    assert saw(claim, 2 + WANTED_FOR_S, mine(4, newest=False)) is ClaimStep.NOTHING
    assert saw(claim, 2.1 + WANTED_FOR_S, mine(5, newest=False)) is ClaimStep.REPLACE_SOCKET
    assert saw(claim, 3 + WANTED_FOR_S, mine(6, newest=False)) is ClaimStep.NOTHING  # it is at it
    assert saw(claim, 60, mine(7)) is ClaimStep.NOTHING


def test_an_owner_that_could_not_look_does_not_take_that_for_silence() -> None:
    claim = Claim()
    saw(claim, 0, mine(1))
    saw(claim, 1, mine(2, newest=False, wanted=True))
    assert saw(claim, 20, mine(3, newest=False)) is ClaimStep.NOTHING
    assert saw(claim, 21, mine(4, newest=False, wanted=True)) is ClaimStep.NOTHING
    assert saw(claim, 30, mine(5, newest=False)) is ClaimStep.NOTHING


def test_an_owner_ends_open_identifies_that_have_not_changed_for_long() -> None:
    claim = Claim()
    saw(claim, 0, mine(1))
    for second in range(1, 12):
        saw(claim, second, mine(second, newest=False, open_identifies="a dead one"))
        assert claim.next_renewal(second, preferred=True).ended_identifies == ""
    assert claim.next_renewal(1 + STILL_FOR_S + 0.1, preferred=True).ended_identifies == "a dead one"
    saw(claim, 12, mine(12, newest=False, open_identifies="another one"))
    assert claim.next_renewal(13, preferred=True).ended_identifies == ""
    saw(claim, 30, mine(30, newest=False))
    assert claim.next_renewal(60, preferred=True).ended_identifies == ""


def test_an_owner_identifies_again_for_as_long_as_another_may_come_after_it() -> None:
    claim = Claim()
    saw(claim, 0, mine(1))
    steps = [saw(claim, n, mine(n, newest=False, open_identifies="a dead one")) for n in range(1, 12)]
    assert steps.count(ClaimStep.REPLACE_SOCKET) == 2
    assert saw(claim, 12, mine(12)) is ClaimStep.NOTHING


def test_only_an_owner_ends_open_identifies() -> None:
    claim = Claim()
    for second in range(30):
        saw(
            claim,
            second,
            LeaseRenewal(mine=False, open_identifies="a dead one", record=f"other {second}"),
            preferred=False,
        )
        assert claim.next_renewal(second, preferred=False) == READ_ONLY


def test_an_owner_that_finds_another_uplink_in_its_place_has_lost() -> None:
    claim = Claim()
    saw(claim, 0, mine(1))
    assert saw(claim, 9, theirs(1), preferred=False) is ClaimStep.LOST
    assert claim.next_renewal(10, preferred=False) == READ_ONLY


def test_a_lease_whose_record_does_not_change_is_dead_whatever_its_time_to_live() -> None:
    claim = Claim()
    saw(claim, 0, theirs(7), preferred=False)
    assert claim.next_renewal(STILL_FOR_S, preferred=False) == READ_ONLY
    assert claim.next_renewal(STILL_FOR_S + 0.1, preferred=False) == RenewalArgs(
        take=True, want=False, dead="other 7"
    )


def test_a_lease_whose_record_changes_is_alive() -> None:
    claim = Claim()
    for second in range(60):
        saw(claim, second, theirs(second), preferred=False)
        assert claim.next_renewal(second, preferred=False) == READ_ONLY


def test_an_uplink_that_stands_by_takes_a_dead_record() -> None:
    claim = Claim()
    saw(claim, 0, theirs(7))
    assert claim.next_renewal(STILL_FOR_S + 0.1, preferred=True) == RenewalArgs(
        take=True, want=False, dead="other 7"
    )


def test_an_uplink_whose_standby_socket_is_no_longer_the_newest_gets_another() -> None:
    claim = Claim()
    assert saw(claim, 1, theirs(2)) is ClaimStep.STAND_BY
    assert saw(claim, 2, LeaseRenewal(mine=False, record="a third 1")) is ClaimStep.NOTHING
    assert saw(claim, 3, mine(1, newest=False)) is ClaimStep.BEGIN_ANEW
    assert saw(claim, 4, mine(2)) is ClaimStep.NOTHING


def test_a_stopped_uplink_ignores_a_last_renewal() -> None:
    for last in (mine(1), mine(1, newest=False), mine(1, wanted=True, ready=True), theirs(1), FREE):
        claim = Claim()
        saw(claim, 0, mine(0))
        claim.stop()
        assert saw(claim, 1, last) is ClaimStep.NOTHING
        claim.let_go(2)
        assert claim.state is ClaimState.STOPPED


def test_each_state_has_a_move_for_a_lease_of_others_and_for_one_of_ours() -> None:
    assert set(MOVES) == set(ClaimState)
    for moves in MOVES.values():
        assert {LeaseFinding.OTHERS, LeaseFinding.ASKED, LeaseFinding.UNASKED} <= set(moves)
