"""A modapi that stood still does nothing for a mod that gave up meanwhile: that one has asked another."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import orjson
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.modapi.admin.authentication import StillThere
from services.modapi.hold_rules import HELD
from services.relay.protocol.command_states import new_operation_id
from services.relay.protocol.records import Command
from services.relay.protocol.vocabulary import HAND_OUT_WITHIN_S, Action
from services.relay.service import arrivals
from services.relay.service.arrivals import READ_WITHIN_S
from services.relay.service.http.listener import Listener
from services.relay.service.http.ports import bind
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import ModApi
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from tests.support.modapi_port import ModapiPort, an_instance
from tests.support.waiting import until

KEY = "mod-key-0123456789abcdef"
LOG = b'{"events":[{"type":"log","msg":"a line"}]}'
BUDGET_S = 0.3
STILL_S = 1.2
WITHIN_S = 30.0


class StalledModapi(ModapiPort):
    """It, and a mod of one instance, whose every request goes over a connection of its own."""

    def __init__(self, store: Store, slug: str, known: str) -> None:
        super().__init__(store, an_instance(slug, KEY), settings=ModApi(hold_polls_s=5.0))
        self.slug, self.known = slug, known
        self.mods: list[socket.socket] = []
        self.commands = CommandStream(store, slug)

    def send(self, method: str, path: str, body: bytes = b"") -> socket.socket:
        """A request of the mod's, sent at once, though nobody may be there to read it."""
        mod = socket.create_connection(("127.0.0.1", self.port))
        head = f"{method} /k/{KEY}/gameserver/x/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        mod.sendall(head.encode() + b"\r\n" + body)
        mod.setblocking(False)
        self.mods.append(mod)
        return mod

    async def answer(self, mod: socket.socket) -> bytes:
        async with asyncio.timeout(WITHIN_S):
            return await asyncio.get_running_loop().sock_recv(mod, 4096)

    async def ask(self) -> str:
        name = new_operation_id(Action.SHUTDOWN)
        assert await self.commands.enqueue(
            Command(name, Action.SHUTDOWN, {}), time.monotonic() + HAND_OUT_WITHIN_S
        )
        return name

    async def answered(self, call: str, answer: str) -> None:
        """Waits until such a call was answered like that."""
        await until(lambda: self.count("dayz_relay_mod_calls_total", call=call, answer=answer), WITHIN_S)

    async def stored_count(self) -> int:
        return len(await self.stored(self.slug))


def stand_still(still_s: float = STILL_S) -> None:
    """The loop of this process is blocked, as by a freeze."""
    time.sleep(still_s)


@pytest.fixture(params=["kernel", "none"])
async def modapi(
    request: pytest.FixtureRequest, store: Store, slug: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StalledModapi]:
    """Where the kernel says when bytes came and that a connection is closed, and where it does not."""
    if request.param == "kernel" and arrivals.sys.platform != "linux":
        pytest.skip("only Linux says it")
    if request.param == "none":
        monkeypatch.setattr(arrivals, "connection_info", lambda sock: None)
    one = StalledModapi(store, slug, request.param)
    assert b" 200 " in await one.answer(one.send("GET", "poll"))
    one.app.answered_within_s = BUDGET_S
    yield one
    for mod in one.mods:
        mod.close()
    await cancelled(one.serving)


async def test_nothing_is_stored_for_a_mod_that_hung_up_meanwhile(modapi: StalledModapi) -> None:
    modapi.app.answered_within_s = 60.0
    modapi.send("POST", "events", LOG).close()
    stand_still()
    await modapi.answered("events", "cut-short")
    assert await modapi.stored_count() == 0


async def test_nothing_is_stored_of_a_request_that_is_older_than_a_mod_waits(modapi: StalledModapi) -> None:
    """Its hang-up is not to be seen: a proxy has kept the connection."""
    mod = modapi.send("POST", "events", LOG)
    stand_still()
    assert b" 503 " in await modapi.answer(mod)
    assert await modapi.stored_count() == 0


async def test_requests_after_a_standstill_are_handled(modapi: StalledModapi) -> None:
    async def answer() -> bytes:
        stand_still()
        if modapi.known == "none":
            await asyncio.sleep(READ_WITHIN_S + 0.5)  # until then nothing tells it from what has waited
        return await modapi.answer(modapi.send("POST", "events", LOG))

    await until(answer, met=lambda answer: b" 200 " in answer)  # again if this process stood still unasked
    assert await modapi.stored_count() == 1


async def test_no_command_is_taken_by_a_poll_whose_mod_hung_up_meanwhile(modapi: StalledModapi) -> None:
    modapi.app.answered_within_s = 60.0
    name = await modapi.ask()
    modapi.send("GET", "poll").close()
    stand_still()
    await modapi.answered("poll", "cut-short")
    assert [one.operation_id for one in await modapi.commands.take()] == [name]


async def test_no_command_is_taken_by_a_poll_that_waited_for_longer_than_a_mod_does(
    modapi: StalledModapi,
) -> None:
    name = await modapi.ask()
    mod = modapi.send("GET", "poll")
    stand_still()
    assert b" 503 " in await modapi.answer(mod)
    assert [one.operation_id for one in await modapi.commands.take()] == [name]


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_no_command_is_taken_by_a_poll_that_was_held_through_it(
    modapi: StalledModapi, hangs_up: bool
) -> None:
    modapi.app.answered_within_s = 1.5
    polls = modapi.served_instances.instances[modapi.slug].polls
    polls.open()

    async def held() -> tuple[socket.socket, str] | None:
        """A held poll, and a command that came meanwhile. None: this process stood still unasked."""
        mod = modapi.send("GET", "poll")
        with contextlib.suppress(TimeoutError):
            await until(lambda: polls.rules.state in HELD, 2.0)
            name = await modapi.ask()
            if polls.rules.state in HELD:
                return mod, name
            await modapi.commands.take()
        return None

    found = await until(held)
    assert found
    mod, name = found
    allowed_s = polls.rules.allowed_s(time.monotonic())
    if hangs_up:
        mod.close()
    stand_still(allowed_s + STILL_S)
    await modapi.answered("poll", "cut-short" if hangs_up else "stood-still")
    assert [one.operation_id for one in await modapi.commands.take()] == [name]
    assert polls.rules.allowed_s(time.monotonic()) == allowed_s  # it was not given up for being held


async def test_a_result_counts_however_long_it_waited(modapi: StalledModapi) -> None:
    """A mod posts it once, and to take it does no harm: the first one counts."""
    name = await modapi.ask()
    await modapi.commands.take()
    modapi.send("POST", f"operation/{name}/result", orjson.dumps({"ok": True})).close()
    stand_still()
    await modapi.answered("result", "ok")
    assert [answered for _, answered, _ in await modapi.commands.results("", 10)] == [name]


async def test_no_change_is_made_for_a_caller_of_the_admin_port_who_hung_up(modapi: StalledModapi) -> None:
    """It has had another modapi do it, most likely: the same again would undo that."""
    begun: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await Response("done")(scope, receive, send)

    sock = bind("127.0.0.1", 0, "modapi.admin_port")
    modapi.port = sock.getsockname()[1]
    serving = asyncio.create_task(Listener(StillThere(app)).listen(sock))
    await modapi.answer(modapi.send("POST", "first"))
    modapi.send("POST", "left").close()
    modapi.send("POST", "stayed")
    stand_still()
    await modapi.answer(modapi.mods[-1])
    seen = [path.rpartition("/")[2] for path in begun]
    assert "stayed" in seen
    if modapi.known == "kernel":
        assert "left" not in seen
    await cancelled(serving)
