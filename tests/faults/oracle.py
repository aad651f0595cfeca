"""The mods and Takaro of the fault suite. No fault affects them. They record in the ledger what they see."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from services.sim.dayz.events import GameIncident
from services.sim.dayz.generations import Generation, Operation
from services.sim.dayz.server import SimModConfig
from services.sim.dayz.world import Player, make_player
from services.sim.takaro import requests
from services.sim.takaro.socket import Answer, SimSocket
from tests.faults import marks
from tests.faults.ledger import Accepted, Arrival, Execution, Identify, Ledger, TakaroRequest
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.takaro_rules import event_error
from tests.support.watched_dayz import WatchedDayz

PLAYERS = 10
POISON = "poisoned"
"""Takaro refuses log lines that begin with this text. The relay cannot know why."""

WRITE = "executeConsoleCommand"
"""A write that must not run twice, and that can carry a mark."""


class MarkingMod(WatchedDayz):
    """Writes marked events. Records in the ledger which were accepted, and which operations it ran."""

    def __init__(self, slug: str, config: SimModConfig, ledger: Ledger, chance: random.Random) -> None:
        super().__init__(config, Generation.SCANNER)
        self.slug = slug
        self.ledger = ledger
        self.chance = chance
        self.newest = 0  # the number of the last event
        self.result_times = 1  # how often each result is posted
        self.post_took_s: list[float] = []  # for each POST of events, until its answer or its failure
        self.players = [make_player(number, f"Player {number}") for number in range(1, PLAYERS + 1)]
        for player in self.players:
            self.world.players[player.game_id] = player

    def happen(self) -> int:
        """Write the next marked event, with or without a player. Returns its number."""
        number = self.newest = self.newest + 1
        player = self.chance.choice([None, None, *self.players])
        lane = player.game_id if player else "line"
        text = marks.write("ev", self.slug, number, lane, self.chance)
        self._emit(GameIncident("player-death" if player else "log", player, text=text))
        return number

    def chat(self, player: Player) -> int:
        """Write a marked chat line of that player. Returns its number."""
        number = self.newest = self.newest + 1
        text = marks.write("ev", self.slug, number, player.game_id, self.chance)
        self._emit(GameIncident("chat-message", player, text=text))
        return number

    async def _post(self, path: str, body: bytes) -> bytes:
        if not path.endswith("/events"):
            return await super()._post(path, body)
        begun_s = time.monotonic()
        try:
            answer = await super()._post(path, body)
        finally:
            self.post_took_s.append(time.monotonic() - begun_s)
        for mark in marks.read_all(body.decode(errors="replace")):
            self.ledger.accept(Accepted(time.monotonic(), mark.instance, mark.number, mark.lane))
        return answer

    async def post_result(self, operation_id: str, body: bytes) -> None:
        """Posts a result, whether or not it was asked for."""
        await self._post_result(Operation(operation_id, WRITE, ""), body)

    async def _post_result(self, operation: Operation, body: bytes) -> None:
        for _ in range(self.result_times):
            await super()._post_result(operation, body)

    def _dispatch(self, operation: Operation) -> bytes:
        mark = marks.read(operation.args_json) if operation.action == WRITE else None
        number = mark.number if mark else 0
        self.ledger.executions.append(Execution(time.monotonic(), self.slug, operation.operation_id, number))
        return super()._dispatch(operation)


class Takaro(FaultyTakaro):
    """Records in the ledger which event came over which socket of which uplink.

    `names(path)` gives the name of the process that dials this path: each uplink has a path of its own.
    """

    def __init__(self, ledger: Ledger, names: Callable[[str], str], **options: Any) -> None:
        super().__init__(**options)
        self.ledger = ledger
        self._names = names
        self._numbers = itertools.count(1)
        self._named: dict[SimSocket, tuple[int, str]] = {}
        self._identities: dict[str, str] = {}
        self._closed_s: dict[SimSocket, float] = {}
        self.on_event: Callable[[SimSocket, Arrival], object] = lambda socket, arrival: None

    def expect(self, identity_token: str, slug: str) -> None:
        self._identities[identity_token] = slug

    async def ask_write(self, slug: str, identity_token: str, text: str, number: int) -> Answer:
        """Asks for a marked write, and records the answer."""
        request = TakaroRequest(slug, number, time.monotonic())
        self.ledger.requests[slug, number] = request
        return await self._ask_noted(request, identity_token, WRITE, requests.console(text))

    async def ask_read(self, slug: str, identity_token: str, action: str, args: Any = None) -> Answer:
        """Asks for a read, and records the answer."""
        request = TakaroRequest(slug, 0, time.monotonic())
        self.ledger.reads.append(request)
        return await self._ask_noted(request, identity_token, action, args)

    async def _ask_noted(self, request: TakaroRequest, identity_token: str, action: str, args: Any) -> Answer:
        server = self.servers.get(identity_token)
        socket = server.socket if server else None
        request.socket_open = socket is not None and socket.connection.state is State.OPEN
        answer = await self.request(identity_token, action, args)
        request.answered_s, request.error = time.monotonic(), answer.error
        request.closed_s = self._closed_s.get(socket) if socket else None
        return answer

    async def serve(self, connection: ServerConnection) -> None:
        try:
            await super().serve(connection)
        finally:
            for socket in self._named:
                if socket.connection is connection:
                    self._closed_s[socket] = time.monotonic()

    def _name(self, socket: SimSocket) -> tuple[int, str]:
        """A number for the socket, and the name of the process that opened it."""
        if socket not in self._named:
            asked = socket.connection.request
            self._named[socket] = next(self._numbers), self._names(asked.path if asked else "")
        return self._named[socket]

    async def _take(self, socket: SimSocket, frame: str | bytes) -> None:
        self._name(socket)
        if (request_id := _response_to(frame)) is not None:
            self.ledger.responses[request_id] += 1
        try:
            await super()._take(socket, frame)
        finally:
            self.ledger.stray = self.stray_frames

    async def _identify(self, socket: SimSocket, payload: Any) -> None:
        bound = socket.server
        count = len(bound.identifies) if bound else 0
        await super()._identify(socket, payload)
        server = socket.server
        if server and (server is not bound or len(server.identifies) > count):
            number, uplink = self._name(socket)
            slug = self._identities.get(server.identity_token, server.identity_token)
            self.ledger.identifies.append(Identify(time.monotonic(), slug, uplink, number))

    def _take_event(self, socket: SimSocket, frame: dict[str, Any]) -> None:
        if socket.server and _is_poisoned(frame):
            self.ledger.refused.append("poison")
            socket.send_error_soon("An instance of log has failed the validation: poison")
            return
        refused = len(self.refused)
        super()._take_event(socket, frame)
        assert socket.server
        socket.server.events.clear()  # the ledger has it, in less space
        data = frame["payload"]["data"] if not event_error(frame.get("payload")) else {}
        if len(self.refused) > refused:
            self.ledger.refused.append(self.refused[-1].text)
            self.refused.clear()
            return
        if mark := marks.read(data.get("msg") or ""):
            number, uplink = self._name(socket)
            slug = self._identities.get(socket.server.identity_token, "")
            intact = mark.intact and mark.instance == slug
            arrival = Arrival(time.monotonic(), slug, mark.number, mark.lane, uplink, number, intact)
            self.ledger.arrive(arrival)
            self.on_event(socket, arrival)


def _is_poisoned(frame: dict[str, Any]) -> bool:
    return str(frame["payload"]["data"].get("msg", "")).startswith(POISON)


def _response_to(frame: str | bytes) -> str | None:
    text = frame if isinstance(frame, str) else frame.decode()
    if '"response"' not in text[:200]:
        return None
    before, found, after = text.partition('"requestId":"')
    return after.partition('"')[0] if found else None


async def keep_happening(mod: MarkingMod, rate: float) -> None:
    """About `rate` events a second, until cancelled."""
    while True:
        mod.happen()
        await asyncio.sleep(mod.chance.uniform(0.5, 1.5) / rate)


async def keep_writing(takaro: Takaro, mod: MarkingMod, identity_token: str, rate: float) -> None:
    """About `rate` writes a second, without waiting for the one before. Until cancelled."""
    numbers = itertools.count(1)
    asked: set[asyncio.Task[Answer]] = set()
    try:
        while True:
            await asyncio.sleep(mod.chance.uniform(0.5, 1.5) / rate)
            number = next(numbers)
            text = marks.write("cmd", mod.slug, number, "write", mod.chance)
            task = asyncio.create_task(takaro.ask_write(mod.slug, identity_token, text, number))
            asked.add(task)
            task.add_done_callback(asked.discard)
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(12.0):  # Takaro's time-out ends each request
                await asyncio.gather(*asked, return_exceptions=True)
