"""A DayZ server with the mod: it writes and queues what happens, as its generation does, registers once,
flushes events and polls (protocol.md M1 to M5).
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice

import orjson

from services.sim.dayz.events import Channel, GameIncident, write_batch, write_event
from services.sim.dayz.generations import Generation, Operation, UnreadableAnswer, read_args, read_operations
from services.sim.dayz.http import HttpClient, RequestFailed
from services.sim.dayz.results import write_error, write_result
from services.sim.dayz.world import Player, RefusedOperation, World

BATCH_EVENTS = 50
QUEUE_EVENTS = 2000
WORLD_SPEED = 12  # in-game time runs 12 times as fast
TIMELESS_EVERY = 7  # every 7th event has no world time


@dataclass(slots=True)
class SimModConfig:
    """The mod's config.json. Registration fills in `identity_token` and `game_server_id`."""

    url: str
    registration_token: str = ""
    identity_token: str = ""
    game_server_id: str = ""
    flush_s: float = 1.0
    poll_s: float = 2.0


class DayzServer:
    """One simulated server. A second `run()` is a reboot with the config that the first one saved."""

    def __init__(
        self,
        config: SimModConfig,
        generation: Generation,
        on_line: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.config = config
        self.generation = generation
        self.http = HttpClient(config.url)
        self.world = World()
        self.world.kicked = self.leave
        self.dropped = 0  # events for which the queue was full
        self._queue: deque[bytes] = deque()
        self._written = 0
        self._line = on_line

    # The game

    def join(self, player: Player) -> None:
        self.world.players[player.game_id] = player
        self._emit(GameIncident("player-connected", player))

    def leave(self, game_id: str) -> None:
        player = self.world.players.pop(game_id)
        self._emit(GameIncident("player-disconnected", player))

    def chat(self, game_id: str, text: str, channel: Channel = Channel.GLOBAL) -> None:
        player = self.world.players[game_id]
        self._emit(GameIncident("chat-message", player, text=text, channel=channel))

    def die(self, game_id: str, killer: str = "", weapon: str = "") -> None:
        """`killer` is a gameId, or "" if an animal, a fall or hunger killed the player."""
        players = self.world.players
        attacker = players[killer] if killer else None
        self._emit(GameIncident("player-death", players[game_id], attacker, weapon=weapon))

    def kill_entity(self, game_id: str, entity: str, weapon: str = "") -> None:
        self._emit(GameIncident("entity-killed", self.world.players[game_id], weapon=weapon, entity=entity))

    def log(self, text: str) -> None:
        self._emit(GameIncident("log", text=text))

    def emit_raw(self, event: bytes) -> None:
        """Queue `event` as it is. It need not be JSON."""
        if len(self._queue) >= QUEUE_EVENTS:
            self.dropped += 1
        else:
            self._queue.append(event)
        self._happened("queued")

    def _emit(self, incident: GameIncident) -> None:
        self._written += 1
        self.emit_raw(write_event(self.generation, incident, self._world_time()))
        self._line(f"{incident.type} {incident.player.name if incident.player else incident.text!r}")

    def _world_time(self) -> str:
        if self._written % TIMELESS_EVERY == 0:
            return ""
        minutes = int(time.monotonic() * WORLD_SPEED / 60)
        return f"2018-07-{1 + minutes // 1440 % 28:02}T{minutes // 60 % 24:02}:{minutes % 60:02}:00Z"

    # The mod

    @property
    def registered(self) -> bool:
        return bool(self.config.identity_token and self.config.game_server_id)

    async def run(self) -> None:
        """From boot until cancelled. A mod that could not register stays idle."""
        if not self.registered:
            await self._register()
        if not self.registered:
            return
        flush_s, poll_s = self.config.flush_s, self.config.poll_s
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._flush, flush_s, tick_s=flush_s))
            group.create_task(self._repeat(partial(self._poll, group), poll_s, tick_s=poll_s / 2))

    async def _register(self) -> None:
        config = self.config
        if not config.registration_token:
            self._line("no tokens in config.json: the mod stays idle")
            return
        request = {
            "registrationToken": config.registration_token,
            "serverName": "DayZ Server",
            "gameType": "dayz",
            "bridgeVersion": "0.2.0",
        }
        try:
            answer = orjson.loads(await self._post("/gameserver/register", orjson.dumps(request)))
            config.identity_token, config.game_server_id = answer["identityToken"], answer["gameServerId"]
        except (RequestFailed, orjson.JSONDecodeError, KeyError, TypeError) as error:
            self._line(f"registration failed, offline until the next boot: {error}")  # never retried
            return
        config.registration_token = ""
        self._line(f"registered as {config.game_server_id}")
        self._happened("registered")

    async def _repeat(self, call: Callable[[], Awaitable[None]], period_s: float, tick_s: float) -> None:
        """Call again at the first tick that is at least a period after the last call began."""
        loop = asyncio.get_running_loop()
        while True:
            started_s = loop.time()
            await call()
            took_s = loop.time() - started_s
            await asyncio.sleep(max(period_s, math.ceil(took_s / tick_s) * tick_s) - took_s)

    async def _flush(self) -> None:
        if not self._queue:
            return
        # The batch stays at the head of the queue until it is answered. New events queue up behind it.
        batch = list(islice(self._queue, BATCH_EVENTS))
        try:
            await self._post(f"/gameserver/{self.config.game_server_id}/events", write_batch(batch))
        except RequestFailed as error:
            self._line(f"flush failed ({error}), {len(batch)} events go again")
            self._happened("requeued")
        else:
            for _ in batch:
                self._queue.popleft()
            self._happened("batches")

    async def _poll(self, group: asyncio.TaskGroup) -> None:
        try:
            body = await self.http.get(f"/gameserver/{self.config.game_server_id}/poll")
        except RequestFailed:
            return self._happened("polls_failed")
        self._happened("polls")
        try:
            for operation in read_operations(body):
                group.create_task(self._post_result(operation, self._dispatch(operation)))
        except UnreadableAnswer as error:
            self._line(f"could not read the poll answer: {error}")
            self._happened("polls_unreadable")

    def _dispatch(self, operation: Operation) -> bytes:
        """Run the operation, even if it ran before: the mod does not remember operation ids."""
        self._happened("operations")
        operation_id, action = operation.operation_id, operation.action
        try:
            args = read_args(self.generation, action, operation.args_json)
            value = self.world.perform(action, args)
            result = write_result(self.generation, operation_id, action, args, value)
        except (UnreadableAnswer, RefusedOperation) as error:
            self._line(f"{action} refused: {error}")
            return write_error(self.generation, operation_id, str(error))
        self._line(f"{action} {args or ''}")
        return result

    async def _post_result(self, operation: Operation, body: bytes) -> None:
        path = f"/gameserver/{self.config.game_server_id}/operation/{operation.operation_id}/result"
        try:
            await self._post(path, body)
            self._happened("results")
        except RequestFailed as error:
            self._line(f"result of {operation.action} lost: {error}")
            self._happened("results_lost")

    async def _post(self, path: str, body: bytes) -> bytes:
        content_type = "application/json"
        if self.config.identity_token:
            content_type += f"\r\nAuthorization: Bearer {self.config.identity_token}"
        return await self.http.post(path, body, content_type)

    def _happened(self, what: str) -> None:
        """For tests, which count and wait."""
