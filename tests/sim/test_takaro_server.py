"""The simulated Takaro with a plain WebSocket client: what it accepts, and how it misbehaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from services.sim.takaro.server import TakaroSim
from services.uplink.takaro.identify import IdentifyRefused, RefusalReason, identify_answer
from tests.support.faulty_takaro import EMPTY, FaultyTakaro
from tests.support.old_bridge import SimOldBridge
from tests.support.takaro_identify import API_CREDENTIAL

TOKEN = "fleet-registration"
LOG = {"type": "log", "data": {"msg": "hello"}}
BAD = {"type": "log", "data": {"msg": "hello", "raw": "hello"}}
PLAYER = {"gameId": "76561198000000001", "name": "Anna", "steamId": "76561198000000001"}
CONNECTED = {"type": "player-connected", "data": {"player": PLAYER}}


@pytest.fixture
async def takaro() -> AsyncIterator[FaultyTakaro]:
    async with FaultyTakaro(registration_tokens={TOKEN}) as sim:
        sim.request_timeout_s = 30.0
        yield sim


async def send(socket: ClientConnection, kind: str, payload: Any = None, **more: Any) -> None:
    await socket.send(orjson.dumps({"type": kind, "payload": payload, **more}).decode())


async def receive(socket: ClientConnection, kind: str) -> Any:
    """The payload of the next frame, which must be of this kind."""
    async with asyncio.timeout(30):
        frame = orjson.loads(await socket.recv())
    assert frame["type"] == kind, frame
    assert frame["requestId"]
    return frame["payload"]


async def identify(socket: ClientConnection, identity: str = "server-one", token: str = TOKEN) -> Any:
    await receive(socket, "connected")
    return await identify_again(socket, identity, token)


async def identify_again(socket: ClientConnection, identity: str = "server-one", token: str = TOKEN) -> Any:
    payload = {"identityToken": identity, "registrationToken": token, "name": f"Name of {identity}"}
    await send(socket, "identify", payload)
    return await receive(socket, "identifyResponse")


async def assert_torn(socket: ClientConnection) -> None:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(30):
            while True:
                await socket.recv()
    assert socket.close_code == 1006


async def answering(socket: ClientConnection, answer: Callable[[str, Any], Any]) -> None:
    """Answer every request with what `answer(action, args)` returns as the payload, until the end."""
    async for text in socket:
        frame = orjson.loads(text)
        if frame["type"] == "request":
            request = frame["payload"]
            assert isinstance(request["args"], str)
            payload = answer(request["action"], orjson.loads(request["args"]))
            await send(socket, "response", payload, requestId=frame["requestId"])


async def test_a_server_keeps_its_id_over_sockets(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as first, connect(takaro.url) as second, connect(takaro.url) as other:
        one = await identify(first)
        again = await identify(second)
        stranger = await identify(other, "server-two")
    assert one["gameServerId"] == again["gameServerId"] != stranger["gameServerId"]
    assert len(takaro.identifies("server-one")) == 2


async def test_an_identify_only_in_data_is_refused(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        await receive(socket, "connected")
        await socket.send('{"type":"identify","data":{"identityToken":"abc","registrationToken":"x"}}')
        answer = await receive(socket, "identifyResponse")
    assert answer["error"]["message"] == "No payload provided"


async def test_a_wrong_registration_token_is_refused_and_the_socket_stays(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        assert "registrationToken" in (await identify(socket, token="wrong"))["error"]["message"]
        assert "gameServerId" in await identify_again(socket)


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert TakaroSim(registration_tokens={TOKEN}, host="::1", port=9).url == "ws://[::1]:9/"


async def test_a_name_is_taken_once_by_the_simulated_takaro_of_people_too() -> None:
    async with (
        TakaroSim(registration_tokens={TOKEN}) as sim,
        connect(sim.url) as one,
        connect(sim.url) as other,
    ):
        payload = {"identityToken": "server-one", "registrationToken": TOKEN, "name": "The name"}
        await receive(one, "connected")
        await receive(other, "connected")
        for _ in range(2):  # its own server keeps it
            await send(one, "identify", payload)
            assert "gameServerId" in await receive(one, "identifyResponse")
        await send(other, "identify", {**payload, "identityToken": "server-two"})
        answer = identify_answer(await receive(other, "identifyResponse"))
        assert isinstance(answer, IdentifyRefused) and answer.reason is RefusalReason.NAME_TAKEN
        await send(other, "identify", {**payload, "identityToken": "server-two", "name": "Another name"})
        assert "gameServerId" in await receive(other, "identifyResponse")


async def test_an_event_before_an_identify_tears_the_socket(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        with contextlib.suppress(ConnectionClosed):
            await send(socket, "gameEvent", LOG)
            await send(socket, "gameEvent", LOG)
        await assert_torn(socket)
    assert takaro.stray_frames == 1


async def test_an_accepted_event_has_no_answer_and_a_refusal_names_no_event(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        await send(socket, "gameEvent", LOG)
        await send(socket, "gameEvent", BAD)
        assert "raw should not exist" in (await receive(socket, "error"))["message"]
    assert [event.data for event in takaro.events("server-one")] == [LOG["data"]]
    assert takaro.refused[0].frame["payload"] == BAD


async def test_identical_events_are_all_kept(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        for _ in range(5):
            await send(socket, "gameEvent", LOG)
        await takaro.wait_for(lambda: len(takaro.events("server-one")) == 5)


async def test_a_frame_that_is_not_json_has_no_answer(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        await socket.send('{"type":"gameEvent","payload":{"x":NaN}}')
        await send(socket, "ping")
        await receive(socket, "pong")
    assert takaro.stray_frames == 1


async def test_one_pong_overtakes_errors_but_never_the_second_of_two(takaro: FaultyTakaro) -> None:
    overtaken = 0
    async with connect(takaro.url) as socket:
        await identify(socket)
        for _ in range(60):
            seen = []
            await send(socket, "gameEvent", BAD)
            for _ in range(2):
                await send(socket, "ping")
                while (frame := orjson.loads(await socket.recv()))["type"] != "pong":
                    seen.append(frame["type"])
                seen.append("pong")
            assert seen in (["error", "pong", "pong"], ["pong", "error", "pong"])
            overtaken += seen[0] == "pong"
    assert overtaken > 5


async def test_requests_go_to_the_newest_socket_and_events_come_from_both(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as old, connect(takaro.url) as new:
        await identify(old)
        await identify(new)
        await send(old, "gameEvent", LOG)
        await send(new, "gameEvent", LOG)
        await takaro.wait_for(lambda: len(takaro.events("server-one")) == 2)
        task = asyncio.create_task(answering(new, lambda action, args: {"connectable": True}))
        await old.close()
        answer = await takaro.request("server-one", "testReachability")
        assert answer.value == {"connectable": True}
        task.cancel()


async def test_a_socket_that_identifies_again_serves_the_other_server(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket, "server-one")
        await identify_again(socket, "server-two")
        await send(socket, "gameEvent", LOG)
        await takaro.wait_for(lambda: takaro.events("server-two"))
    assert takaro.events("server-one") == []


async def test_a_request_without_an_answer_times_out(takaro: FaultyTakaro) -> None:
    takaro.request_timeout_s = 0.3
    async with connect(takaro.url) as socket:
        await identify(socket)
        answer = await takaro.request("server-one", "getPlayers")
    assert answer.error is not None and "timed out" in answer.error
    assert answer.took_s >= 0.29


async def test_a_closed_socket_is_not_noticed_by_requests(takaro: FaultyTakaro) -> None:
    takaro.request_timeout_s = 0.3
    async with connect(takaro.url) as socket:
        await identify(socket)
    answer = await takaro.request("server-one", "getPlayers")
    assert answer.error is not None and "timed out" in answer.error


async def test_the_type_of_an_answer_is_ignored_its_payload_counts(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        for payload, error in (({"message": "no"}, None), ({"error": "no"}, "Error from server: no")):
            asking = asyncio.create_task(takaro.request("server-one", "kickPlayer", {}))
            request = orjson.loads(await socket.recv())
            await send(socket, "error", payload, requestId=request["requestId"])
            assert (await asking).error == error


@pytest.mark.parametrize("payload", [None, {"error": "busy"}, [{"gameId": 7}]])
async def test_an_answer_of_the_wrong_shape_gets_an_error_with_the_id_of_its_request(
    takaro: FaultyTakaro, payload: Any
) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        asking = asyncio.create_task(takaro.request("server-one", "getPlayers"))
        request = orjson.loads(await socket.recv())
        await send(socket, "response", payload, requestId=request["requestId"])
        error = orjson.loads(await socket.recv())
        answer = await asking
    assert (error["type"], error["requestId"]) == ("error", request["requestId"])
    assert error["payload"] == {"message": answer.error} and "bad data" in str(answer.error)


@pytest.mark.parametrize("location", [None, {"error": "offline"}, {"x": "1", "y": 2, "z": 3}])
async def test_an_event_is_lost_when_its_players_location_is_not_answered(
    takaro: FaultyTakaro, location: Any
) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        await send(socket, "gameEvent", CONNECTED)
        task = asyncio.create_task(answering(socket, lambda action, args: location))
        await takaro.wait_for(lambda: takaro.lost)
        task.cancel()
    assert takaro.events("server-one") == []
    assert "getPlayerLocation" in takaro.lost[0].reason


async def test_an_event_with_a_player_is_kept_when_the_location_is_answered(takaro: FaultyTakaro) -> None:
    asked = []

    def answer(action: str, args: Any) -> Any:
        asked.append((action, args))
        return {"x": 1, "y": 2, "z": 3}

    async with connect(takaro.url) as socket:
        await identify(socket)
        task = asyncio.create_task(answering(socket, answer))
        await send(socket, "gameEvent", CONNECTED)
        await takaro.wait_for(lambda: asked)
        task.cancel()
    assert asked == [("getPlayerLocation", {"gameId": PLAYER["gameId"]})]
    assert len(takaro.events("server-one")) == 1


async def test_one_platform_id_belongs_to_one_game_id(takaro: FaultyTakaro) -> None:
    takaro.ask_location = False
    async with connect(takaro.url) as socket:
        await identify(socket)
        await send(socket, "gameEvent", CONNECTED)
        other = {**PLAYER, "gameId": "another"}
        await send(socket, "gameEvent", {"type": "player-disconnected", "data": {"player": other}})
        await takaro.wait_for(lambda: takaro.lost)
    assert takaro.lost[0].reason == "player: Platform ID collision"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"type": "chat-message", "data": {"channel": "global"}}, "chat without msg"),
        (
            {"type": "player-connected", "data": {"player": {"gameId": "x", "name": "X", "steamId": "0"}}},
            "player: new player without a valid platform id",
        ),
    ],
)
async def test_takaro_loses_some_valid_events(takaro: FaultyTakaro, event: Any, reason: str) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        await send(socket, "gameEvent", event)
        await takaro.wait_for(lambda: takaro.lost)
    assert takaro.lost[0].reason == reason


async def test_a_burst_sends_3_requests_and_2_for_each_player_at_once(takaro: FaultyTakaro) -> None:
    takaro.ask_location = False
    answers: dict[str, Any] = {
        "testReachability": {"connectable": True},
        "getPlayers": [PLAYER],
        "getPlayerInventory": [],
        "getPlayerLocation": {"x": 1, "y": 2, "z": 3},
    }
    async with connect(takaro.url) as socket:
        await identify(socket)
        await send(socket, "gameEvent", CONNECTED)
        await takaro.wait_for(lambda: takaro.events("server-one"))
        task = asyncio.create_task(answering(socket, lambda action, args: answers[action]))
        burst = await takaro.burst("server-one")
        task.cancel()
    assert len(burst) == 5
    assert all(answer.error is None for answer in burst)
    assert takaro.servers["server-one"].reachable is True


# Misbehaviour


@pytest.mark.parametrize(("text", "error"), [(EMPTY, {}), ("plan limit", "plan limit")])
async def test_takaro_can_refuse_a_number_of_identifies(takaro: FaultyTakaro, text: str, error: Any) -> None:
    takaro.faults.refuse_identify(text, times=2)
    async with connect(takaro.url) as socket:
        first = await identify(socket)
        assert first["error"] == error or first["error"]["message"] == error
        assert "error" in await identify_again(socket)
        assert "gameServerId" in await identify_again(socket)


async def test_takaro_can_refuse_as_its_api_does_with_a_status_and_a_credential(takaro: FaultyTakaro) -> None:
    takaro.faults.refuse_by_status(409, times=1)
    async with connect(takaro.url) as socket:
        error = (await identify(socket))["error"]
        assert (error["message"], error["status"]) == ("Request failed with status code 409", 409)
        assert API_CREDENTIAL in str(error["config"])
        assert "error" not in await identify_again(socket)


async def test_a_new_server_cannot_have_the_name_of_another(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket, connect(takaro.url) as other:
        await identify(socket)
        await receive(other, "connected")
        payload = {"identityToken": "other", "registrationToken": TOKEN, "name": "Name of server-one"}
        await send(other, "identify", payload)
        assert (await receive(other, "identifyResponse"))["error"]["status"] == 409
        await send(other, "identify", payload | {"name": "Another name"})
        assert "error" not in await receive(other, "identifyResponse")


async def test_takaro_can_refuse_one_identity_for_ever(takaro: FaultyTakaro) -> None:
    takaro.faults_of("server-one").refuse_identify("no")
    async with connect(takaro.url) as socket:
        assert "error" in await identify(socket)
        assert "gameServerId" in await identify_again(socket, "server-two")
        takaro.faults_of("server-one").accept_identify()
        assert "gameServerId" in await identify_again(socket)


async def test_takaro_can_be_silent(takaro: FaultyTakaro) -> None:
    takaro.faults.silent = True
    async with connect(takaro.url) as socket:
        await receive(socket, "connected")
        await send(socket, "identify", {"identityToken": "server-one", "registrationToken": TOKEN})
        await send(socket, "ping")
        await receive(socket, "pong")
    assert takaro.identifies("server-one") == []


@pytest.mark.parametrize("for_all", [True, False])
async def test_takaro_can_close_a_socket_early(takaro: FaultyTakaro, for_all: bool) -> None:
    (takaro.faults if for_all else takaro.faults_of("server-one")).kill_early = True
    async with connect(takaro.url) as socket:
        with contextlib.suppress(ConnectionClosed):
            await send(socket, "identify", {"identityToken": "server-one", "registrationToken": TOKEN})
        await assert_torn(socket)


async def test_internal_errors_end_after_their_number(takaro: FaultyTakaro) -> None:
    takaro.faults_of("server-one").internal_errors(1)
    async with connect(takaro.url) as socket:
        await identify(socket)
        await send(socket, "gameEvent", LOG)
        assert (await receive(socket, "error"))["message"] == "Internal error handling game event"
        await send(socket, "gameEvent", LOG)
        await takaro.wait_for(lambda: takaro.events("server-one"))


async def forget(takaro: FaultyTakaro) -> None:
    takaro.faults_of("server-one").internal_errors()


async def fail_until_identified(takaro: FaultyTakaro) -> None:
    takaro.faults.internal_errors()


@pytest.mark.parametrize("misbehave", [forget, fail_until_identified])
async def test_internal_errors_end_with_the_next_identify(takaro: FaultyTakaro, misbehave: Any) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        await misbehave(takaro)
        for _ in range(3):
            await send(socket, "gameEvent", LOG)
            assert "Internal error" in (await receive(socket, "error"))["message"]
        await identify_again(socket)
        await send(socket, "gameEvent", LOG)
        await takaro.wait_for(lambda: takaro.events("server-one"))


async def test_takaro_can_stop_reading_and_go_on(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket, connect(takaro.url) as other:
        await identify(socket)
        await identify(other, "server-two")
        takaro.faults_of("server-one").stop_reading()
        await send(socket, "gameEvent", LOG)
        await send(other, "gameEvent", LOG)
        await takaro.wait_for(lambda: takaro.events("server-two"))
        assert takaro.events("server-one") == []
        takaro.faults_of("server-one").resume_reading()
        await takaro.wait_for(lambda: takaro.events("server-one"))


async def test_takaro_can_drop_connections_of_one_server(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket, connect(takaro.url) as other:
        await identify(socket)
        await identify(other, "server-two")
        takaro.drop_connections("server-one")
        await assert_torn(socket)
        await send(other, "ping")
        await receive(other, "pong")
    assert not takaro.is_connected("server-one")


async def test_takaro_can_send_an_error_without_a_cause(takaro: FaultyTakaro) -> None:
    async with connect(takaro.url) as socket:
        await identify(socket)
        await takaro.send_error_frame("surprise", "server-one")
        assert await receive(socket, "error") == {"message": "surprise"}


async def test_errors_can_come_late(takaro: FaultyTakaro) -> None:
    takaro.faults.error_delay_s = 1.0  # this process may stand still before the ping
    async with connect(takaro.url) as socket:
        await identify(socket)
        await send(socket, "gameEvent", BAD)
        await send(socket, "ping")
        await receive(socket, "pong")
        await receive(socket, "error")


async def test_an_error_can_come_after_any_number_of_pongs(takaro: FaultyTakaro) -> None:
    takaro.faults.error_delay_s, takaro.faults.pongs_overtake = 1.0, True
    async with connect(takaro.url) as socket:
        await identify(socket)
        await send(socket, "gameEvent", BAD)
        for _ in range(3):
            await send(socket, "ping")
            assert orjson.loads(await socket.recv())["type"] == "pong"
        await receive(socket, "error")


async def test_requests_go_to_the_client_that_identified_last_and_events_come_from_both(
    takaro: FaultyTakaro,
) -> None:
    async with SimOldBridge(takaro.url, "server-one", TOKEN) as first:
        async with SimOldBridge(takaro.url, "server-one", TOKEN) as second:
            await takaro.request("server-one", "testReachability")
            assert (first.requests, second.requests) == (0, 1)
            for bridge in (first, second):
                await bridge.send_event(LOG["type"], LOG["data"])  # type: ignore[arg-type]
            await takaro.wait_for(lambda: len(takaro.events("server-one")) == 2)
            assert {event.socket for event in takaro.events("server-one")} == {1, 2}
            await first.identify()
            await takaro.request("server-one", "testReachability")
            assert [link.requests for link in takaro.sockets("server-one")] == [1, 1]
            assert takaro.asked_socket("server-one") == 1


async def test_a_closed_socket_that_identified_last_is_still_asked(takaro: FaultyTakaro) -> None:
    takaro.request_timeout_s = 0.3
    async with SimOldBridge(takaro.url, "server-one", TOKEN):
        async with SimOldBridge(takaro.url, "server-one", TOKEN):
            pass
        answer = await takaro.request("server-one", "testReachability")
        assert answer.error and "timed out" in answer.error
