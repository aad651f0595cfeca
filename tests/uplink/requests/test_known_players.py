"""The list of bans has the names of players who were seen, not the ids that a mod writes instead."""

from typing import Any

import orjson
import pytest

from services.uplink.requests.known_players import with_known_players

STEAM = "76561198000000001"
ANNA = {"gameId": STEAM, "name": "Anna", "steamId": STEAM, "platformId": "dayz:abc"}
RECORDS = [orjson.dumps(one) for one in (ANNA, {"gameId": "7", "name": "Bob"})]


def ban(**player: str) -> dict[str, Any]:
    return {"player": player, "reason": "rude", "expiresAt": None}


@pytest.mark.parametrize(
    ("player", "known"),
    [
        ({"gameId": STEAM, "name": STEAM}, ANNA),
        ({"gameId": STEAM, "name": "Anna before she was married"}, ANNA),
        ({"gameId": "abc=", "name": "abc=", "platformId": "dayz:abc"}, ANNA),
        ({"gameId": "another", "name": "another", "steamId": STEAM}, ANNA),
        ({"gameId": "7", "name": "7"}, {"gameId": "7", "name": "Bob"}),
        ({"gameId": "8", "name": "8"}, {"gameId": "8", "name": "8"}),
        ({"gameId": "8", "name": "Cleo"}, {"gameId": "8", "name": "Cleo"}),
    ],
)
def test_a_banned_player_gets_the_name_and_ids_that_were_seen(
    player: dict[str, str], known: dict[str, str]
) -> None:
    assert with_known_players([ban(**player)], RECORDS) == [ban(**known)]


def test_a_list_of_unknown_players_is_not_changed() -> None:
    bans = [ban(gameId="8", name="8"), ban(gameId="9", name="")]
    assert with_known_players(bans, []) == bans
