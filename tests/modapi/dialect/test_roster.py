"""Who was seen, and that a person keeps one id."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi.dialect.identity import Contradiction
from services.modapi.dialect.roster import Roster
from tests.support.rosters import saved

STEAM = "76561198000000001"
OTHER = "76561198000000002"
BIS = "K" * 42 + "+="
PLATFORM = "dayz:" + "K" * 42 + "-"
ANN: dict[str, Any] = {"gameId": STEAM, "name": "Ann", "steamId": STEAM, "platformId": PLATFORM}


def seen(*players: dict[str, Any]) -> Roster:
    roster = Roster()
    for player in players:
        with contextlib.suppress(Contradiction):
            roster.complete(player)
    return roster


@pytest.mark.parametrize(
    "gone",
    [
        {"gameId": BIS, "name": ""},
        {"gameId": BIS.rstrip("="), "name": "", "platformId": "dayz:" + BIS.rstrip("=")},
        {"gameId": "", "name": "", "platformId": PLATFORM},
        {"gameId": "", "name": "", "steamId": STEAM},
        {"gameId": None, "name": None, "steamId": int(STEAM)},
        {"gameId": int(STEAM)},
        {"gameId": STEAM, "name": "Survivor"},
        {"gameId": "another", "name": "Ann", "steamId": STEAM},
        {"gameId": "another", "name": "Ann", "platformId": PLATFORM},
    ],
)
def test_a_record_whose_identity_is_gone_is_completed_under_the_same_id(gone: dict[str, Any]) -> None:
    assert seen(ANN).complete(gone) == ANN


@pytest.mark.parametrize(
    "nobody",
    [None, {}, [], "Ann", {"gameId": "", "name": ""}, {"gameId": "0", "name": "Ann"}, {"name": "Ann"}]
    + [{"gameId": BIS, "name": ""}, {"gameId": {}, "name": []}, {"platformId": PLATFORM, "name": "Ann"}],
)
def test_a_record_without_an_id_means_no_player(nobody: Any) -> None:
    roster = seen({"gameId": OTHER, "name": "Bob"})
    saved(roster)
    assert roster.complete(nobody) is None
    assert saved(roster) == {}


def test_the_steam_id_is_read_from_the_game_id() -> None:
    assert Roster().complete({"gameId": STEAM, "name": "Ann", "steamId": ""}) == {
        "gameId": STEAM,
        "name": "Ann",
        "steamId": STEAM,
    }


MADE_UP = {"gameId": STEAM, "name": STEAM, "steamId": STEAM, "platformId": f"steam:{STEAM}"}
"""What a mod says of a player whose identity is not there: all of it from one id."""


def test_a_record_made_up_from_an_id_spoils_neither_name_nor_platform_id() -> None:
    roster = seen(MADE_UP)
    assert roster.complete(ANN) == ANN
    assert roster.complete(MADE_UP) == ANN
    assert roster.complete({"gameId": BIS, "name": ""}) == ANN


def test_a_stored_record_that_such_a_record_spoiled_is_repaired() -> None:
    roster = Roster()
    roster.restore({STEAM: orjson.dumps(MADE_UP)})
    (repaired,) = saved(roster).values()
    assert orjson.loads(repaired) == {"gameId": STEAM, "name": "Survivor", "steamId": STEAM}
    assert roster.complete(ANN) == ANN


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (["Ann", "Survivor"], "Ann"),
        (["Ann", ""], "Ann"),
        (["Ann", "\u200b\u2800"], "Ann"),
        (["\u3164"], "Survivor"),
        (["Survivor", "Ann"], "Ann"),
        (["Ann", "Anna"], "Anna"),
        ([""], "Survivor"),
        (["A\x00n\nn\u202e"], "A n n"),
        (["A" * 300], "A" * 100),
    ],
)
def test_the_last_real_name_counts(names: list[str], known: str) -> None:
    roster = seen(*({"gameId": STEAM, "name": name} for name in names))
    player = roster.complete({"gameId": STEAM})
    assert player is not None and player["name"] == known


BOB = {"gameId": OTHER, "name": "Bob", "steamId": OTHER, "platformId": "dayz:" + "B" * 43}
EVE = "76561198000000003"


@pytest.mark.parametrize(
    "record",
    [
        {"gameId": STEAM, "steamId": OTHER},
        {"gameId": STEAM, "steamId": EVE},
        {"gameId": EVE, "steamId": STEAM},
        {"gameId": EVE, "steamId": EVE, "platformId": PLATFORM},
        {"gameId": BIS, "steamId": EVE},
        {"gameId": BIS, "steamId": OTHER},
        {"gameId": OTHER, "platformId": PLATFORM},
        {"gameId": STEAM, "platformId": "dayz:" + "E" * 43},
        {"gameId": [EVE, STEAM]},
        {"gameId": EVE, "GameID": STEAM},
        [{"gameId": EVE}, {"gameId": STEAM}],
    ],
)
def test_a_record_with_ids_of_several_players_means_no_player_and_is_not_learned(record: Any) -> None:
    counted: list[None] = []
    roster = Roster(contradicted=lambda: counted.append(None))
    for known in (ANN, BOB):
        roster.complete(known)
    saved(roster)
    with pytest.raises(Contradiction):
        roster.complete(record | {"name": "Mallory"} if isinstance(record, dict) else record)
    assert counted == [None]
    assert saved(roster) == {}
    assert (roster.complete(ANN), roster.complete(BOB)) == (ANN, BOB)


def test_a_known_record_with_another_players_id_in_another_spelling_names_nobody() -> None:
    roster = seen(ANN, ANN)
    with pytest.raises(Contradiction):
        roster.complete(ANN | {"steam_id": OTHER})


def test_a_platform_id_of_another_kind_contradicts_nothing() -> None:
    assert seen(ANN).complete(ANN | {"platformId": "other:7"}) == ANN


def test_a_player_seen_by_the_bis_id_alone_does_not_block_others() -> None:
    """The record of a disconnect with a name left in it makes such a player."""
    roster = seen({"gameId": STEAM, "name": "Ann"}, {"gameId": BIS, "name": "Ann"})
    assert roster.complete(ANN) == {"gameId": STEAM, "name": "Ann", "steamId": STEAM}


def test_a_stored_record_with_contradictory_ids_is_ignored() -> None:
    roster = Roster()
    roster.restore({STEAM: orjson.dumps({"gameId": STEAM, "name": "Mallory", "steamId": EVE})})
    assert roster.complete(ANN) == ANN


def test_address_and_ping_are_those_of_the_record_at_hand() -> None:
    roster = seen(ANN | {"ip": "10.0.0.1:2304", "ping": 90})
    assert roster.complete(ANN | {"ip": "10.0.0.2:2304", "ping": "41"}) == ANN | {
        "ip": "10.0.0.2",
        "ping": 41,
    }
    assert roster.complete(ANN | {"ip": "", "ping": None}) == ANN


def test_only_changes_are_offered_for_storing_and_only_once() -> None:
    roster = seen(ANN)
    assert {key: orjson.loads(value) for key, value in saved(roster).items()} == {STEAM: ANN}
    roster.complete(ANN | {"ping": 3})
    assert saved(roster) == {}
    roster.complete(ANN | {"name": "Anna"})
    assert list(saved(roster)) == [STEAM]


def test_changes_that_were_not_stored_are_offered_again_in_their_newest_form() -> None:
    roster = seen(ANN)
    changes = roster.take_changes()
    assert list(changes) == [STEAM]
    roster.complete(ANN | {"name": "Anna"})
    roster.give_back(changes)
    assert {key: orjson.loads(value)["name"] for key, value in saved(roster).items()} == {STEAM: "Anna"}
    assert saved(roster) == {}


def test_the_player_not_seen_for_longest_is_forgotten_and_deleted() -> None:
    roster = Roster(limit=2)
    for game_id in ("a", "b"):
        roster.complete({"gameId": game_id, "name": "x", "platformId": f"dayz:{game_id}"})
    roster.complete({"gameId": "a", "name": "x", "platformId": "dayz:a"})
    saved(roster)
    roster.complete({"gameId": "c", "name": "x"})
    assert set(changes := saved(roster)) == {"b", "c"}
    assert changes["b"] == b""
    assert roster.complete({"gameId": "", "platformId": "dayz:b"}) is None
    assert roster.complete({"gameId": "", "platformId": "dayz:a"}) is not None


def test_changes_that_cannot_be_stored_are_bounded() -> None:
    roster = Roster(limit=2)
    for number in range(100):
        roster.complete({"gameId": str(number), "name": "x"})
        roster.give_back(roster.take_changes())
    assert {"98", "99"} <= set(changes := saved(roster)) and len(changes) <= 4


def test_a_stored_player_is_known_after_a_restart_and_is_no_change() -> None:
    stored = saved(seen(ANN))
    roster = Roster()
    roster.restore(
        {key.encode(): value for key, value in stored.items()} | {b"x": b"", b"y": b"{", b"z": b"[]"}
    )
    assert saved(roster) == {}
    assert roster.complete({"gameId": BIS, "name": ""}) == ANN


def test_restoring_keeps_changes_that_are_not_stored_yet() -> None:
    roster = seen({"gameId": OTHER, "name": "Bob"})
    roster.restore(saved(seen(ANN)))
    assert list(saved(roster)) == [OTHER]


def test_a_name_that_is_not_stored_yet_is_newer_than_the_stored_one() -> None:
    roster, stored = seen(ANN), saved(seen(ANN))
    roster.take_changes()
    roster.complete({**ANN, "name": "Anna"})
    roster.restore(stored)
    assert orjson.loads(saved(roster)[STEAM]) == {**ANN, "name": "Anna"}


def completed(roster: Roster, record: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return roster.complete(record)
    except Contradiction:
        return None


ID = st.sampled_from(["", STEAM, OTHER, BIS, "7", "0"])
RECORDS = st.fixed_dictionaries(
    {"gameId": ID, "name": st.sampled_from(["", "Survivor", "Ann"])},
    optional={"steamId": ID, "platformId": st.sampled_from(["", PLATFORM, "dayz:x", BIS])},
)


@given(st.lists(RECORDS, max_size=12))
def test_no_platform_id_ever_goes_out_under_two_game_ids(records: list[dict[str, Any]]) -> None:
    roster = Roster()
    bound: dict[str, str] = {}
    for record in records:
        if (player := completed(roster, record)) is None:
            continue
        for known in ("steamId", "platformId"):
            if known in player:
                assert bound.setdefault(player[known], player["gameId"]) == player["gameId"]


@given(st.lists(RECORDS, max_size=8))
def test_a_restored_roster_answers_as_the_one_that_was_stored(records: list[dict[str, Any]]) -> None:
    roster, restored = seen(*records), Roster()
    restored.restore(saved(roster))
    for record in records:
        assert completed(restored, record) == completed(roster, record)
