"""Which events Takaro refuses or loses by time and player, and the arguments of its requests."""

from typing import Any

import orjson
import pytest

from services.sim.takaro import requests
from services.sim.takaro.socket import Accepted
from tests.support.bans import PERMANENT_BANS, ban, unban
from tests.support.takaro_intake import INTERNAL_ERROR, lose_event, refuse_event
from tests.support.takaro_records import StrictServer

LOG = {"type": "log", "data": {"msg": "x"}}


@pytest.mark.parametrize(
    ("idle_s", "refused"),
    [(0.0, False), (59.9, False), (60.0, True), (60.9, True), (61.1, False), (120.5, True), (125.0, False)],
)
def test_a_quiet_server_loses_its_emitter_for_a_moment(idle_s: float, refused: bool) -> None:
    server = StrictServer("a", "A", last_event_at=1000.0)
    text = refuse_event(server, LOG, 1000.0 + idle_s)
    assert text == (INTERNAL_ERROR if refused else None)


def test_any_event_keeps_the_emitter() -> None:
    server = StrictServer("a", "A")
    for now in (45.0, 90.0, 135.0, 180.0):
        assert refuse_event(server, LOG, now) is None


def test_a_refused_event_does_not_keep_the_emitter() -> None:
    server = StrictServer("a", "A")
    assert refuse_event(server, {"type": "log", "data": {}}, 45.0) is not None
    assert refuse_event(server, LOG, 60.0) == INTERNAL_ERROR


def event(kind: str, **player: Any) -> Accepted:
    return Accepted(0.0, kind, {"player": player})


def test_a_known_player_needs_no_platform_id() -> None:
    server = StrictServer("a", "A")
    assert lose_event(server, event("player-connected", gameId="7", name="Anna", steamId="7")) is None
    assert server.online == {"7": "Anna"}
    assert lose_event(server, event("player-disconnected", gameId="7", name="")) is None
    assert server.online == {}


def test_requests_have_records_of_several_kilobytes_with_the_game_id_late() -> None:
    for args in (requests.kick("7", "x"), ban("7", "x"), requests.teleport("7", 1, 2, 3)):
        assert len(requests.encode_args(args)) > 3000
        assert args["player"]["gameId"] == "7"
        assert requests.encode_args(args).index('"gameId"') > 1023
    assert unban("7")["gameId"] == "7"
    assert orjson.loads(requests.encode_args(requests.send_message("hi")))["opts"] == {}
    assert requests.encode_args(None) == "{}"


def test_a_permanent_ban_comes_in_three_ways() -> None:
    dates = [ban("7", "x", **expiry).get("expiresAt", "absent") for expiry in PERMANENT_BANS]
    assert dates == ["absent", None, "3021-01-01T00:00:00.000Z"]
