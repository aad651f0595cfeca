"""A DayZ server with the mod: it registers once, flushes events and polls (protocol.md M1 to M5)."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice

import orjson

from services.sim.dayz.events import write_batch
from services.sim.dayz.game import Game
from services.sim.dayz.generations import Generation, Operation, UnreadableAnswer, read_args, read_operations
from services.sim.dayz.http import HttpClient, RequestFailed
from services.sim.dayz.results import write_error, write_result
from services.sim.dayz.world import RefusedOperation

BATCH_EVENTS = 50


@dataclass(slots=True)
class SimModConfig:
    """The mod's config.json. Registration fills in `identity_token` and `game_server_id`."""

    url: str
    registration_token: str = ""
    identity_token: str = ""
    game_server_id: str = ""
    flush_s: float = 1.0
    poll_s: float = 2.0


class DayzServer(Game):
    """One simulated server. A second `run()` is a reboot with the config that the first one saved."""

    def __init__(
        self, config: SimModConfig, generation: Generation, on_line: Callable[[str], object] | None = None
    ) -> None:
        super().__init__(generation, on_line)
        self.config = config
        self.http = HttpClient(config.url)

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

    # The four calls

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
