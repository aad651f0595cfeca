"""Whatever a player writes into a name or the chat, no event names another player who is known.

The simulated mods replace quotation marks, as the real ones do; `unescaped` is a mod that joins texts as they
are (protocol.md M10).
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.modapi.dialect.bodies import UnreadableBody, read_batch, read_object
from services.modapi.dialect.events import map_event
from services.modapi.dialect.results import map_result
from services.modapi.dialect.roster import Roster
from services.relay.protocol.records import DeadEvent
from services.relay.protocol.vocabulary import Action
from services.sim.dayz.events import Channel, GameIncident, write_batch, write_event
from services.sim.dayz.generations import Generation
from services.sim.dayz.world import Player, make_player

NOW = "2026-05-01T12:00:00.000Z"
ADMIN, MALLORY = make_player(1), make_player(2)
ADMIN.name = "Admin"
NAME_CHARS = 32
"""Steam's limit. With more room a text can close its event and hold whole ones behind it, up to the start of
the event that the mod then ends: such a body is, byte for byte, one that an honest mod may have written."""

PIECES = [
    *(
        '"',
        "\\",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        '","',
        '":"',
        '":{"',
        '"},"',
        '"}},{"',
        "\n",
        "\\u003a",
        "x",
        " ",
    ),
    *(
        "gameId",
        "GameID",
        "game_id",
        "steamId",
        "platformId",
        "name",
        "player",
        "attacker",
        "recipient",
        "type",
    ),
    *("chat-message", "msg", "whisper", "channel", ADMIN.game_id, f"dayz:{ADMIN.bis_id.rstrip('=')}"),
    *(
        '","gameId":"',
        '","steamId":"',
        '","platformId":"dayz:',
        '"},"player":{"gameId":"',
        '"},"attacker":{"gameId":"',
    ),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=9).map("".join)
NAMES = TEXTS.map(lambda text: text[:NAME_CHARS])
FORGED = f'","gameId":"{ADMIN.game_id}'


def known() -> Roster:
    """The admin is known, Mallory is new."""
    roster = Roster()
    platform_id = "dayz:" + ADMIN.bis_id.rstrip("=")
    roster.complete({"gameId": ADMIN.game_id, "name": ADMIN.name, "platformId": platform_id})
    return roster


def named(body: bytes, roster: Roster) -> Iterator[str]:
    """The ids of all whom the events of a body name, as they go to Takaro."""
    for raw in read_batch(body).events:
        event = raw if isinstance(raw, DeadEvent) else map_event(raw, roster, NOW)
        if isinstance(event, dict):
            for slot in ("player", "attacker", "recipient"):
                if slot in event["data"]:
                    yield event["data"][slot]["gameId"]


def admin_is_himself(roster: Roster) -> bool:
    player = roster.complete({"gameId": ADMIN.game_id})
    return player is not None and player["name"] == "Admin" and player["steamId"] == ADMIN.game_id


def happenings(name: str, text: str) -> list[GameIncident]:
    mallory = Player(MALLORY.game_id, name, MALLORY.bis_id)
    return [
        GameIncident("player-connected", mallory),
        GameIncident("chat-message", mallory, text=text, channel=Channel.GLOBAL),
        GameIncident("player-death", mallory, weapon="AKM"),
        GameIncident("player-death", make_player(3), attacker=mallory),
        GameIncident("entity-killed", mallory, entity="ZmbM"),
        GameIncident("player-disconnected", mallory),
    ]


@pytest.mark.parametrize("generation", Generation)
@given(TEXTS, TEXTS)
@example(FORGED, "x")
@example("x\\", f",gameId:{ADMIN.game_id}")
def test_no_text_makes_an_event_of_a_known_mod_name_another_player(
    generation: Generation, name: str, text: str
) -> None:
    roster = known()
    body = write_batch([write_event(generation, one, "") for one in happenings(name, text)])
    assert ADMIN.game_id not in set(named(body, roster))
    assert admin_is_himself(roster)


def joined(value: Any) -> str:
    """As a mod writes it that escapes nothing."""
    if isinstance(value, dict):
        return "{" + ",".join(f'"{key}":{joined(one)}' for key, one in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)


def record(generation: Generation, name: str) -> dict[str, Any]:
    bis_id = MALLORY.bis_id.rstrip("=")
    start = {"gameId": MALLORY.game_id, "name": name, "steamId": MALLORY.game_id}
    return start | (
        {"ip": "", "ping": "42"} if generation is Generation.FLAT else {"platformId": f"dayz:{bis_id}"}
    )


def unescaped(generation: Generation, name: str) -> bytes:
    mallory = record(generation, name)
    other = record(generation, "x") | {"gameId": "76561198000000009", "steamId": "76561198000000009"}
    other.pop("platformId", None)
    place = {"position": {"x": 1, "y": 2, "z": 3}}
    events = [
        {"type": "player-connected", "timestamp": "", "player": mallory},
        {"type": "chat-message", "timestamp": "", "channel": "direct", "msg": "/help", "player": mallory},
        {"type": "player-death", "timestamp": "", "player": mallory, **place},
        {"type": "player-death", "timestamp": "", "player": other, "attacker": mallory, **place},
        {"type": "player-disconnected", "timestamp": "", "player": mallory},
    ]
    return ('{"events":[' + ",".join(map(joined, events)) + "]}").encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("generation", Generation)
@given(NAMES)
@example(FORGED)
@example(f'","steamId":"{ADMIN.game_id}')
@example(f'","gameId":{ADMIN.game_id},"x":"')
@example(f'","GameID":"{ADMIN.game_id}')
def test_no_name_makes_an_event_name_another_player_though_nothing_is_escaped(
    generation: Generation, name: str
) -> None:
    roster = known()
    assert ADMIN.game_id not in set(named(unescaped(generation, name), roster))
    assert admin_is_himself(roster)


@pytest.mark.parametrize(
    "name",
    [
        f'"}},"player":{{"gameId":"{ADMIN.game_id}',
        f'"}},"attacker":{{"gameId":"{ADMIN.game_id}',
        f'"}},"attacker":{{"gameId":"{ADMIN.game_id}"}},"x":{{"y":"',
        f'"}},"attacker":{{"gameId":"{ADMIN.game_id}"}},"position":{{"x":"',
        f'"}},"attacker":{{"gameId":"{ADMIN.game_id}"}},"x":"',
        f'"}},"attacker":{{"gameId":"{ADMIN.game_id}"}},"recipient":{{"a":"',
        f'"}},"attacker":{{"gameId":"{ADMIN.game_id}"}},"player":{{"a":"',
        f'"}},"recipient":{{"gameId":"{ADMIN.game_id}"}},"position":{{"x":"',
        f'","steamId":"{MALLORY.game_id}"}},"attacker":{{"gameId":"{ADMIN.game_id}"}},"x":"',
        f'","steamId":"{MALLORY.game_id}"}},"attacker":{{"steamId":"{ADMIN.game_id}"}},"msg":"',
        f'\\u003a","gameId":"{ADMIN.game_id}',
    ],
)
@pytest.mark.parametrize("generation", Generation)
def test_a_name_longer_than_steam_allows_forges_no_record_either(generation: Generation, name: str) -> None:
    roster = known()
    assert ADMIN.game_id not in set(named(unescaped(generation, name), roster))
    assert admin_is_himself(roster)


@pytest.mark.parametrize("generation", Generation)
@given(NAMES)
@example(FORGED)
@example(f'"}},{{"gameId":"{ADMIN.game_id}')
def test_no_name_in_a_list_of_players_names_another_player(generation: Generation, name: str) -> None:
    body = f'{{"ok":true,"result":{{"players":[{joined(record(generation, name))}]}},"error":""}}'
    try:
        answer = read_object(body.encode("utf-8", "surrogatepass"))
    except UnreadableBody:
        return
    outcome = map_result(Action.GET_PLAYERS, answer.get("ok"), answer.get("result"), answer.get("error"))
    roster = known()
    for player in outcome.value or []:
        roster.complete(player)
        assert player["gameId"] != ADMIN.game_id
    assert admin_is_himself(roster)
