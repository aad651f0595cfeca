"""Who a record means, and when it means nobody for it means several."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.modapi.dialect.identity import Contradiction, has_stray_ids, identity_of

NEW = "76561198000000001"
ADMIN = "76561198000000002"
BIS = "K" * 43
OTHER_BIS = "L" * 43


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, ("", "", None, None)),
        ({"gameId": NEW, "name": "x"}, (NEW, "x", NEW, None)),
        ({"gameId": NEW, "steamId": int(NEW), "platformId": f"steam:{NEW}"}, (NEW, "", NEW, None)),
        ({"gameId": "", "platformId": f"Steam:{NEW}"}, ("", "", NEW, None)),
        ({"gameId": BIS, "steamId": NEW, "platformId": f"dayz:{BIS}="}, (BIS, "", NEW, f"dayz:{BIS}")),
        ({"GameID": NEW, "Name": "x", "steam_id": NEW}, (NEW, "x", NEW, None)),
        ({"gameId": NEW, "gameid": int(NEW), "steam64": NEW, "STEAMID": ""}, (NEW, "", NEW, None)),
        ({"gameId": {}, "name": None, "steamId": [], "platformId": ""}, ("", "", None, None)),
        ({"gameId": NEW, "roles": [], "stats": {"kills": 3}, "x": [{"y": 1}]}, (NEW, "", NEW, None)),
        ({"gameId": "another", "steamId": NEW}, ("another", "", NEW, None)),
        ({"gameId": NEW, "name": NEW}, (NEW, "", NEW, None)),
        ({"gameId": NEW, "name": BIS, "platformId": f"dayz:{BIS}"}, (NEW, "", NEW, f"dayz:{BIS}")),
    ],
)
def test_a_record_is_read_however_its_keys_are_spelled(record: dict[str, Any], expected: Any) -> None:
    assert identity_of(record) == expected


@pytest.mark.parametrize(
    "record",
    [
        {"gameId": ADMIN, "steamId": NEW},
        {"gameId": ADMIN, "steamId": int(NEW)},
        {"gameId": ADMIN, "steamId": f" {NEW} "},
        {"gameId": ADMIN, "steamId": f"{NEW}\n"},
        {"gameId": ADMIN, "platformId": f"steam: {NEW}"},
        {"gameId": ADMIN, "platformId": f"steam:{NEW}"},
        {"steamId": ADMIN, "platformId": f"STEAM:{NEW}"},
        {"gameId": BIS, "platformId": f"dayz:{OTHER_BIS}"},
        {"gameId": [NEW, ADMIN]},
        {"gameId": NEW, "name": ["x", "y"]},
        {"gameId": NEW, "steamId": {"a": ADMIN}},
        {"gameId": NEW, "gameid": ADMIN},
        {"gameId": NEW, "Game-ID": ADMIN},
        {"GAMEID": NEW, "gameId": ADMIN},
        {"steam_id": NEW, "steamID64": ADMIN},
        {"gameId": NEW, "Platform Id": f"dayz:{BIS}", "platformId": f"dayz:{OTHER_BIS}"},
        {"gameId": ADMIN, "player": {"gameId": NEW}},
        {"gameId": ADMIN, "x": [{"y": {"steamId": NEW}}]},
    ],
)
def test_a_record_with_ids_of_several_players_is_ignored(record: dict[str, Any]) -> None:
    with pytest.raises(Contradiction):
        identity_of(record)


PEOPLE = frozenset({"player", "attacker"})
PLAYER = {"gameId": NEW, "name": "x", "steamId": NEW}


@pytest.mark.parametrize(
    ("more", "stray"),
    [
        ({"msg": "gameId", "position": {"x": 1, "y": 2, "z": 3}, "recipient": None, "weapon": {}}, False),
        ({"attacker": {"gameId": ADMIN}, "recipient": {"gameId": "", "steamId": 0}}, False),
        ({"gameId": NEW, "steamId": NEW, "serverId": "7"}, False),
        ({"gameId": NEW, "attacker": None}, False),
        ({"steamId": NEW, "attacker": {"gameId": ADMIN}}, True),
        ({"gameId": ADMIN}, True),
        ({"game_id": ADMIN}, True),
        ({"platformId": f"dayz:{BIS}"}, True),
        ({"recipient": {"gameId": ADMIN}}, True),
        ({"position": {"x": "", "steamId": NEW}}, True),
        ({"weapon": {"a": "", "SteamId": NEW}}, True),
        ({"x": [{"y": [{"platformId": f"dayz:{BIS}"}]}]}, True),
        ({"gameId": [NEW, NEW]}, True),
    ],
)
def test_ids_outside_of_player_records_are_stray_ids(more: dict[str, Any], stray: bool) -> None:
    assert has_stray_ids({"type": "player-death", "player": PLAYER, **more}, PEOPLE) is stray


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", NEW, ADMIN, BIS, f"dayz:{BIS}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["gameId", "GameID", "name", "steamId", "steam_id", "platformId", "x", ""]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=12) | st.sampled_from(["gameId", "steamId", "name", "player"]), ANY))
def test_no_record_breaks_the_reader(record: dict[str, Any]) -> None:
    has_stray_ids(record, PEOPLE)
    try:
        identity = identity_of(record)
    except Contradiction as contradiction:
        assert str(contradiction)
    else:
        assert identity.steam_id in (None, NEW, ADMIN) or len(identity.steam_id or "") == 17
