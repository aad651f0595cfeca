"""What the mappers let out passes Takaro's strict rules, which the simulator holds on its own.

For every action and event, whatever near its shape a mod writes. What the relay takes, the strict rules take.
"""

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.modapi.dialect.events import map_event
from services.modapi.dialect.results import RESULT_MAPPERS, map_result
from services.modapi.dialect.roster import Roster
from services.relay.protocol.records import DeadEvent
from services.relay.protocol.vocabulary import Action, EventType
from services.uplink.takaro.answer_rules import answer_fault, is_error
from tests.support.takaro_rules import bad_answer, event_error

NOW = "2026-05-01T12:00:00.000Z"

NUMBERS = (
    st.sampled_from([0, 1, -1, 2.5, "7", "0", "", None, "nan", float("inf"), 10**400, True]) | st.floats()
)
WORDS = st.sampled_from(["", "AKM", "x" * 300, 5, 0, None, {}, "a\nb", "null", "hostile", "entity", "global"])
IDS = st.sampled_from(
    ["76561198000000001", "K" * 43 + "=", "dayz:abc", "steam:1", "7", 7, "", "0", None, "a:b:c"]
)
DATES = st.sampled_from(
    ["", "2031-12-31T23:59:59Z", "2030-1-5T1:2:0Z", 1893805320, "soon", None, 0, 3600, {}]
)


def rows(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=fields) | WORDS


PLAYER = rows(
    gameId=IDS,
    name=WORDS,
    steamId=IDS,
    platformId=IDS,
    epicOnlineServicesId=IDS,
    ip=WORDS | st.just("10.0.0.1:2302"),
    ping=NUMBERS,
    online=NUMBERS,
)
POSITION = rows(x=NUMBERS, y=NUMBERS, z=NUMBERS, dimension=WORDS) | st.lists(NUMBERS, max_size=4)
NAMED = {"code": WORDS, "name": WORDS, "description": WORDS, "metadata": WORDS | st.just({"a": [1]})}
ITEM = rows(**NAMED, amount=NUMBERS, quality=WORDS | NUMBERS)
ENTITY = rows(**NAMED, type=WORDS)
LOCATION = rows(
    **NAMED, position=POSITION, radius=NUMBERS, sizeX=NUMBERS, sizeY=NUMBERS, sizeZ=NUMBERS
) | st.fixed_dictionaries(
    {"position": st.just({"x": 1, "y": 2, "z": 3}), "name": st.just("Cherno")},
    optional={"radius": NUMBERS, "sizeX": NUMBERS, "sizeY": NUMBERS, "sizeZ": NUMBERS},
)
BAN = rows(player=PLAYER, gameId=IDS, reason=WORDS, expiresAt=DATES)
CONSOLE = rows(rawResult=WORDS, success=NUMBERS, errorMessage=WORDS)
REACHABLE = rows(connectable=NUMBERS, reason=WORDS)
SIZES = {name: NUMBERS for name in ("mapBlockSize", "maxZoom", "mapSizeX", "mapSizeY", "mapSizeZ")}
MAP_INFO = rows(enabled=NUMBERS, **SIZES)

RESULTS: dict[Action, st.SearchStrategy[Any]] = {
    Action.GET_PLAYER: PLAYER,
    Action.GET_PLAYERS: st.lists(PLAYER, max_size=3),
    Action.GET_PLAYER_LOCATION: POSITION,
    Action.GET_PLAYER_INVENTORY: st.lists(ITEM, max_size=3),
    Action.LIST_ITEMS: st.lists(ITEM, max_size=3),
    Action.LIST_ENTITIES: st.lists(ENTITY, max_size=3),
    Action.LIST_LOCATIONS: st.lists(LOCATION, max_size=3),
    Action.LIST_BANS: st.lists(BAN, max_size=3),
    Action.EXECUTE_CONSOLE_COMMAND: CONSOLE,
    Action.TEST_REACHABILITY: REACHABLE,
    Action.GET_MAP_INFO: MAP_INFO,
    Action.GET_MAP_TILE: WORDS,
}
"""Near the shape of each answer. The other actions have none: anything but an error is success."""

EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(EventType).map(str)},
    optional={
        "player": PLAYER,
        "attacker": PLAYER,
        "recipient": PLAYER,
        "position": POSITION,
        "msg": WORDS,
        "raw": WORDS,
        "channel": WORDS | NUMBERS,
        "weapon": WORDS,
        "entity": WORDS,
        "timestamp": WORDS,
        "online": NUMBERS,
    },
)


def sent(value: Any) -> Any:
    """As Takaro reads it."""
    return orjson.loads(orjson.dumps(value))


def test_every_action_with_a_shape_is_tried() -> None:
    assert {action for action in Action if bad_answer(action.value, None)} == set(RESULTS)


@pytest.mark.parametrize("action", [action for action in RESULTS if action in RESULT_MAPPERS])
@given(data=st.data())
def test_a_mapped_result_passes_the_strict_rules(action: Action, data: st.DataObject) -> None:
    outcome = map_result(action, True, data.draw(RESULTS[action]), "")
    if outcome.value is not None:
        assert answer_fault(action, outcome.value) == ""
        assert bad_answer(action.value, sent(outcome.value)) is None


@pytest.mark.parametrize("action", RESULTS)
@given(data=st.data())
def test_answers_that_pass_the_relays_rules_pass_the_strict_ones(action: Action, data: st.DataObject) -> None:
    payload = data.draw(RESULTS[action])
    try:
        as_sent = sent(payload)
    except TypeError:  # a number beyond 64 bits: orjson does not write it, and no mapper lets it out
        return
    if answer_fault(action, payload) == "" and not is_error(payload):
        assert bad_answer(action.value, as_sent) is None


@given(EVENT)
@example({"type": "player-connected", "player": {"gameId": "7", "name": "No platform"}})
def test_a_mapped_event_passes_the_strict_rules(raw: dict[str, Any]) -> None:
    event = map_event(raw, Roster(), NOW)
    if not isinstance(event, DeadEvent):
        assert event_error(sent(event)) is None
