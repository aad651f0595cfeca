"""A simulated Takaro as strict as the real one: what it refuses, loses, and in which order it answers."""

import asyncio
import random
from typing import Any

from websockets.asyncio.server import ServerConnection

from services.sim.takaro.server import TakaroSim, TornSocket
from services.sim.takaro.socket import Accepted, Answer, GameServer, SimSocket
from tests.support.takaro_identify import identify_error
from tests.support.takaro_intake import lose_event, refuse_event
from tests.support.takaro_records import LostEvent, SimRefusal, StrictServer
from tests.support.takaro_rules import bad_answer, conclude
from tests.support.watchers import Watchers

ERROR_DELAY_TURNS = 3
"""Turns of the loop by which an error frame is late at most: enough for one pong to overtake it."""


class StrictSocket(SimSocket):
    """Its errors come late, as those of Takaro."""

    def __init__(self, connection: ServerConnection, number: int) -> None:
        super().__init__(connection, number)
        self.pongs_wait = True  # see `pong()`
        self.error_delay_s = 0.0  # by which error frames are later than usual
        self._errors: set[asyncio.Task[None]] = set()  # those that are not sent yet
        self._errors_before_ping: set[asyncio.Task[None]] = set()
        self._pong_due = False
        self._chance = random.Random(number)

    async def pong(self) -> None:
        """One pong can overtake the errors of events before its ping. The pong of the next ping cannot: it
        waits for the errors that were due at the ping before. Two pings in one packet count as one."""
        if not self._pong_due:
            if self.pongs_wait and self._errors_before_ping:
                await asyncio.wait(self._errors_before_ping)
            self._errors_before_ping = set(self._errors)
        self._pong_due = True
        asyncio.get_running_loop().call_soon(setattr, self, "_pong_due", False)
        await super().pong()

    def send_error_soon(self, text: str) -> None:
        """Send an error frame a few turns of the loop later."""
        task = asyncio.create_task(self._send_error(text))
        self._errors.add(task)
        task.add_done_callback(self._errors.discard)

    async def _send_error(self, text: str) -> None:
        if self.error_delay_s:
            await asyncio.sleep(self.error_delay_s)
        else:
            for _ in range(self._chance.randrange(ERROR_DELAY_TURNS + 1)):
                await asyncio.sleep(0)
        await self.send("error", {"message": text})

    def cancel_errors(self) -> None:
        for task in self._errors:
            task.cancel()


class StrictTakaro(TakaroSim):
    """Remembers what it has accepted, refused and lost."""

    socket_type = StrictSocket
    server_type = StrictServer
    servers: dict[str, StrictServer]  # type: ignore[assignment]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.changes = Watchers()
        self.refused: list[SimRefusal] = []
        self.lost: list[LostEvent] = []

    def _changed(self) -> None:
        self.changes.notify()

    def _closed(self, socket: SimSocket) -> None:
        assert isinstance(socket, StrictSocket)
        socket.cancel_errors()
        super()._closed(socket)

    def _refuse_identify(self, payload: Any) -> dict[str, Any] | None:
        names = {server.name for server in self.servers.values()}
        return identify_error(payload, self.registration_tokens, self.servers.keys(), names)

    def _bind(self, socket: SimSocket, server: GameServer) -> None:
        assert isinstance(server, StrictServer)
        server.last_event_at = asyncio.get_running_loop().time()
        server.identifies.append(server.last_event_at)
        super()._bind(socket, server)

    def _take_event(self, socket: SimSocket, frame: dict[str, Any]) -> None:
        server = socket.server
        if server is None:
            self.stray_frames += 1
            raise TornSocket
        assert isinstance(server, StrictServer)
        text = refuse_event(server, frame.get("payload"), asyncio.get_running_loop().time())
        if text is None:
            super()._take_event(socket, frame)
        else:
            self._refuse(socket, server, frame, text)

    def _refuse(self, socket: SimSocket, server: GameServer, frame: dict[str, Any], text: str) -> None:
        assert isinstance(socket, StrictSocket)
        self.refused.append(SimRefusal(server.identity_token, text, frame))
        socket.send_error_soon(text)

    def _accept_event(self, server: GameServer, event: Accepted) -> None:
        assert isinstance(server, StrictServer)
        if reason := lose_event(server, event):
            self.lost.append(LostEvent(server.identity_token, reason, event))
        else:
            server.events.append(event)
            super()._accept_event(server, event)

    async def _look_up_location(self, server: GameServer, event: Accepted, game_id: str) -> Answer:
        """Without an answer Takaro loses the event."""
        assert isinstance(server, StrictServer)
        answer = await super()._look_up_location(server, event, game_id)
        if answer.error is not None:
            server.events = [other for other in server.events if other is not event]
            self.lost.append(LostEvent(server.identity_token, f"getPlayerLocation: {answer.error}", event))
            self._changed()
        return answer

    async def _conclude(
        self, socket: SimSocket, request_id: str, action: str, payload: Any
    ) -> tuple[Any, str | None]:
        if problem := bad_answer(action, payload):
            await socket.send("error", {"message": problem}, request_id)
        return conclude(action, payload)

    def _learn(self, server: GameServer, action: str, value: Any, error: str | None) -> None:
        assert isinstance(server, StrictServer)
        if action == "testReachability":
            server.reachable = error is None and value["connectable"]
            if not server.reachable:
                server.online.clear()
        super()._learn(server, action, value, error)
