"""Uplinks that beat are alive, by the clock of the observer."""

import pytest

from services.uplink.ownership.members import ALIVE_FOR_S, Members


def members_after(*counts_read: tuple[float, dict[str, int]]) -> Members:
    members = Members("me")
    for now_s, counts in counts_read:
        members.read(now_s, counts)
    return members


def test_a_single_uplink_is_the_whole_fleet() -> None:
    assert Members("me").alive == members_after((0, {"me": 1})).alive == {"me"}


def test_a_new_member_counts_as_alive_for_a_while() -> None:
    assert members_after((0, {"me": 1, "other": 9})).alive == {"me", "other"}


def test_a_member_whose_beats_stop_is_dead() -> None:
    counts_read = [(float(t), {"me": t, "other": 9}) for t in range(5)]
    assert members_after(*counts_read[:4]).alive == {"me", "other"}
    assert members_after(*counts_read).alive == {"me"}


def test_a_member_that_beats_again_is_alive() -> None:
    counts_read = [(float(t), {"me": t, "other": 9}) for t in range(6)]
    assert members_after(*counts_read, (6.0, {"me": 7, "other": 10})).alive == {"me", "other"}


def test_a_member_that_signed_off_is_gone_at_once() -> None:
    assert members_after((0, {"me": 1, "other": 9}), (1, {"me": 2})).alive == {"me"}


def test_an_uplink_that_could_not_look_takes_no_member_for_dead() -> None:
    away_s = 10 * ALIVE_FOR_S
    assert members_after((0, {"me": 1, "other": 9}), (away_s, {"me": 2, "other": 9})).alive == {"me", "other"}


def test_dead_members_are_deleted_as_soon_as_they_are_noticed() -> None:
    members = Members("me")
    dead = [members.read(float(t), {"me": t, "other": 9}) for t in range(5)]
    assert dead == [[], [], [], [], ["other"]]


@pytest.mark.parametrize("changes_at", [0, 1, 7])
def test_the_time_of_the_last_change_of_the_fleet_is_known(changes_at: int) -> None:
    members = Members("me")
    for t in range(10):
        members.read(float(t), {"me": t} | ({"other": t} if t >= changes_at else {}))
    assert members.since_s == changes_at
