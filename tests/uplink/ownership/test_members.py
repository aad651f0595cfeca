"""Uplinks that beat are alive, by the clock of whoever looks."""

import pytest

from services.uplink.ownership.members import ALIVE_FOR_S, Members


def looked(*looks: tuple[float, dict[str, int]]) -> Members:
    members = Members("me")
    for now_s, counts in looks:
        members.look(now_s, counts)
    return members


def test_alone_it_is_the_fleet() -> None:
    assert Members("me").alive == looked((0, {"me": 1})).alive == {"me"}


def test_whoever_is_new_is_believed_for_a_while() -> None:
    assert looked((0, {"me": 1, "other": 9})).alive == {"me", "other"}


def test_whoever_beats_no_more_is_gone_although_its_count_stays() -> None:
    looks = [(float(t), {"me": t, "other": 9}) for t in range(5)]
    assert looked(*looks[:4]).alive == {"me", "other"}
    assert looked(*looks).alive == {"me"}


def test_whoever_beats_again_is_back() -> None:
    looks = [(float(t), {"me": t, "other": 9}) for t in range(6)]
    assert looked(*looks, (6.0, {"me": 7, "other": 10})).alive == {"me", "other"}


def test_whoever_stopped_cleanly_is_gone_at_once() -> None:
    assert looked((0, {"me": 1, "other": 9}), (1, {"me": 2})).alive == {"me"}


def test_nobody_is_taken_for_dead_because_we_could_not_look() -> None:
    away_s = 10 * ALIVE_FOR_S
    assert looked((0, {"me": 1, "other": 9}), (away_s, {"me": 2, "other": 9})).alive == {"me", "other"}


def test_the_dead_are_taken_away_as_soon_as_they_are_seen_to_be() -> None:
    members = Members("me")
    dead = [members.look(float(t), {"me": t, "other": 9}) for t in range(5)]
    assert dead == [[], [], [], [], ["other"]]


@pytest.mark.parametrize("changes_at", [0, 1, 7])
def test_it_knows_since_when_the_fleet_is_as_it_is(changes_at: int) -> None:
    members = Members("me")
    for t in range(10):
        members.look(float(t), {"me": t} | ({"other": t} if t >= changes_at else {}))
    assert members.since_s == changes_at
