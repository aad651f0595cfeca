"""The limits of an instance in uplink, of frames from and to Takaro, and the way to Takaro."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from services.relay.protocol.limits import Limits
from services.relay.protocol.vocabulary import Action
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.uplink.connection.identify_turns import identify_turn
from services.uplink.context import UplinkContext
from services.uplink.ownership.fleet import Fleet, FleetTimes
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mirror.mirror import Mirror
from services.uplink.requests.mirror.read_rules import AnswerAge, Subject
from tests.support.certificates import make_certificate
from tests.support.waiting import until

NOW = 1_800_000_000.0
PLAYERS = Subject(Action.GET_PLAYERS)
BAG = Subject(Action.GET_PLAYER_INVENTORY, "ada")
ITEMS = Subject(Action.LIST_ITEMS)


def things(count: int) -> list[dict[str, str]]:
    return [{"code": f"Thing_{n}", "name": "x" * 50} for n in range(count)]


@pytest.fixture
def beyond() -> Counter[str]:
    return Counter()


def test_a_list_of_players_is_kept_up_to_its_limit(beyond: Counter[str]) -> None:
    mirror = Mirror(Limits(mirror_players=2), lambda limit: beyond.update([limit]))
    mirror.take_answer(PLAYERS, [{"gameId": name, "name": name} for name in "abc"], NOW)
    payload = mirror.read(PLAYERS, NOW).payload
    assert payload and [player["gameId"] for player in orjson.loads(payload)] == ["a", "b"]
    assert beyond == {"mirror_players": 1}


def test_connecting_players_are_kept_up_to_the_limit(beyond: Counter[str]) -> None:
    mirror = Mirror(Limits(mirror_players=2), lambda limit: beyond.update([limit]))
    mirror.take_answer(PLAYERS, [], NOW)
    for name in "abca":
        player = {"gameId": name, "name": name}
        mirror.take_event({"type": "player-connected", "data": {"player": player}}, NOW, NOW)
    payload = mirror.read(PLAYERS, NOW).payload
    assert payload and [player["gameId"] for player in orjson.loads(payload)] == ["a", "b"]
    assert beyond == {"mirror_players": 3}  # one player, and two events that wait for a position
    assert [mirror.event_waits(name, NOW) for name in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    ("subject", "limit"), [(BAG, {"inventory_bytes": 1024}), (ITEMS, {"catalogue_bytes": 1024})]
)
def test_an_answer_that_is_too_big_is_not_kept(
    subject: Subject, limit: dict[str, int], beyond: Counter[str]
) -> None:
    mirror = Mirror(Limits(**limit), lambda name: beyond.update([name]))
    mirror.take_answer(subject, things(10), NOW)
    assert mirror.read(subject, NOW).age is not AnswerAge.UNKNOWN and not beyond
    mirror.take_changes()
    mirror.take_answer(subject, things(100), NOW + 1)
    assert not mirror.take_changes().catalogues
    assert list(beyond) == list(limit)


class LimitedUplink:
    """An uplink with these limits, and a minimal Takaro."""

    def __init__(self, store: Store, slug: str) -> None:
        self.store, self.slug = store, slug
        self.registry = CollectorRegistry()
        self.answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.linked: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.uplink: Fleet | None = None
        self.running: asyncio.Task[None] | None = None

    async def takaro(self, socket: ServerConnection) -> None:
        async for text in socket:
            frame = orjson.loads(text)
            if frame["type"] == "identify":
                await socket.send(
                    '{"type":"identifyResponse","requestId":"1","payload":{"gameServerId":"x"}}'
                )
                self.linked.put_nowait(socket)
            elif frame["type"] == "response":
                self.answers.put_nowait(frame["payload"])

    def start(self, url: str, limits: Limits, proxy: str | None = None) -> None:
        instance = Instance(
            slug=self.slug,
            name="A server",
            identity_token=SecretStr(f"identity-{self.slug}"),
            registration_token=SecretStr("the-registration-token"),
        )
        self.uplink = Fleet(
            UplinkContext(
                url,
                self.store,
                UplinkMetrics(self.registry),
                partial(identify_turn, self.store),
                50.0,
                limits,
                proxy,
            ),
            FleetTimes(renew_every_s=0.1),
        )
        self.uplink.update({self.slug: instance})
        self.running = asyncio.create_task(self.uplink.run())

    def beyond(self, limit: str) -> float:
        return self.registry.get_sample_value("dayz_relay_refused_total", {"limit": limit}) or 0.0


@pytest.fixture
async def limited(store: Store, slug: str) -> AsyncIterator[LimitedUplink]:
    made = LimitedUplink(store, slug)
    yield made
    if made.running:
        await cancelled(made.running)


def ask(action: str) -> str:
    return orjson.dumps(
        {"type": "request", "requestId": "7", "payload": {"action": action, "args": "{}"}}
    ).decode()


async def test_a_frame_that_is_too_big_ends_the_socket_and_another_one_is_made(
    limited: LimitedUplink,
) -> None:
    async with serve(limited.takaro, "127.0.0.1", 0) as server, asyncio.timeout(60):
        limited.start(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", Limits(frame_in_bytes=2048))
        socket = await limited.linked.get()
        await socket.send(ask("testReachability") + " " * 3000)
        await limited.linked.get()
        assert limited.beyond("frame_in_bytes") == 1


async def test_an_answer_that_is_too_big_for_takaro_becomes_an_error(limited: LimitedUplink) -> None:
    async with serve(limited.takaro, "127.0.0.1", 0) as server, asyncio.timeout(60):
        limited.start(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", Limits(frame_out_bytes=1024))
        socket = await limited.linked.get()
        assert limited.uplink
        [owner] = limited.uplink.owners.values()
        assert owner.in_use
        owner.in_use.mirror.take_answer(
            PLAYERS, [{"gameId": str(n), "name": "x" * 90} for n in range(50)], 4e9
        )
        await socket.send(ask("getPlayers"))
        answer = await limited.answers.get()
        assert isinstance(answer, dict) and "too large" in answer["error"]
        assert limited.beyond("frame_out_bytes") == 1


async def test_more_commands_than_may_wait_get_an_error(limited: LimitedUplink) -> None:
    async with serve(limited.takaro, "127.0.0.1", 0) as server, asyncio.timeout(60):
        limited.start(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", Limits(open_commands=2))
        socket = await limited.linked.get()
        for _ in range(3):
            await socket.send(ask("shutdown"))
        assert "error" in await limited.answers.get()
        assert limited.beyond("open_commands") == 1


@pytest.mark.parametrize(
    ("believed", "host", "links"),
    [(True, "127.0.0.1", True), (True, "localhost", False), (False, "127.0.0.1", False)],
    ids=["good", "the one of another host", "signed by nobody we know"],
)
async def test_takaro_is_spoken_to_only_if_its_certificate_is_good(
    limited: LimitedUplink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    believed: bool,
    host: str,
    links: bool,
) -> None:
    caplog.set_level("INFO")
    cert, key = make_certificate(tmp_path, "takaro.example")
    if believed:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with serve(limited.takaro, "127.0.0.1", 0, ssl=context) as server, asyncio.timeout(60):
        limited.start(f"wss://{host}:{server.sockets[0].getsockname()[1]}", Limits())
        await until(lambda: not limited.linked.empty() or "out of reach" in caplog.text)
    assert limited.linked.empty() is not links
    assert ("certificate verify failed" in caplog.text) is not links


async def test_takaro_is_reached_through_a_proxy_only_if_the_settings_name_one(
    limited: LimitedUplink, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: asyncio.Queue[bytes] = asyncio.Queue()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait(await reader.readline())
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, address)
    async with server, serve(limited.takaro, "127.0.0.1", 0) as takaro, asyncio.timeout(60):
        url = f"ws://127.0.0.1:{takaro.sockets[0].getsockname()[1]}"
        limited.start(url, Limits())
        await until(lambda: not (limited.linked.empty() and asked.empty()))
        assert asked.empty() and limited.running
        await cancelled(limited.running)
        limited.registry = CollectorRegistry()
        limited.start(url, Limits(), address)
        assert (await asked.get()).startswith(b"CONNECT 127.0.0.1:")
