"""A DayZ server with the mod: registers once, flushes, polls, remembers nothing (protocol.md M1 to M5)."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
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
class Counters:
    batches: int = 0  # answered with 2xx
    events_sent: int = 0  # in those batches
    requeued: int = 0  # batches put back at the head
    polls: int = 0  # answered with 2xx
    polls_failed: int = 0
    polls_unreadable: int = 0  # dropped whole
    operations: int = 0
    results: int = 0
    results_lost: int = 0


class DayzServer(Game):
    """One simulated server. `identity_token` and `game_server_id` are what the mod's config.json holds;
    `run()` again after it ended is a reboot with what was saved; unlike in reality queued events
    survive it, so that they can be counted. All times are seconds."""

    def __init__(
        self,
        base_url: str,
        *,
        generation: Generation,
        registration_token: str = "",
        identity_token: str = "",
        game_server_id: str = "",
        flush_s: float = 1.0,
        poll_s: float = 2.0,
        total_s: float = 10.0,
        send_authorization: bool = True,
        results_in_turn: bool = False,
        run_s: float = 0.0,
        on_line: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(generation, on_line)
        self.registration_token = registration_token
        self.identity_token = identity_token
        self.game_server_id = game_server_id
        self.counters = Counters()
        self.http = HttpClient(base_url, total_s)
        self._flush_s = flush_s
        self._poll_s = poll_s
        self._send_authorization = send_authorization
        self._results: asyncio.Queue[tuple[Operation, bytes]] = asyncio.Queue()
        self._posting: set[asyncio.Task[None]] = set()
        self.polling = False  # a poll is under way
        self.failing: dict[str, str] = {}
        """Actions that the mod answers with ok:false, and the text of each."""
        self._results_in_turn = results_in_turn
        self.run_s = run_s
        """How long the game takes to run an operation, before its result is posted."""
        self._stopping = asyncio.Event()

    # The life of the mod

    @property
    def registered(self) -> bool:
        return bool(self.identity_token and self.game_server_id)

    async def run(self) -> None:
        """From boot until `stop()` or cancellation. An unregistered mod sits there idle, as in reality."""
        self._results = asyncio.Queue()  # what was run before and not posted stays unknown
        if not self.registered:
            await self._register()
        loops: list[asyncio.Task[None]] = []
        if self.registered:
            loops = [
                asyncio.ensure_future(loop())
                for loop in (self._flush_loop, self._poll_loop, self._result_loop)
            ]
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            # A loop never ends by itself: if one does, its exception is a fault of ours and must be seen.
            done, _ = await asyncio.wait([stopped, *loops], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            tasks = [stopped, *loops, *self._posting]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._stopping.clear()

    def stop(self) -> None:
        """End `run()` at once: requests in flight are torn, the queue stays as it is."""
        self._stopping.set()

    # The four calls

    async def _register(self) -> None:
        if not self.registration_token:
            self._line("no tokens in config.json: the mod stays idle")
            return
        request = {
            "registrationToken": self.registration_token,
            "serverName": "DayZ Server",
            "gameType": "dayz",
            "bridgeVersion": "0.2.0",
        }
        try:
            answer = orjson.loads(await self._post("/gameserver/register", orjson.dumps(request)))
            self.identity_token, self.game_server_id = answer["identityToken"], answer["gameServerId"]
        except (RequestFailed, orjson.JSONDecodeError, KeyError, TypeError) as error:
            self._line(f"registration failed, offline until the next boot: {error}")  # never retried
            return
        self.registration_token = ""
        self._line(f"registered as {self.game_server_id}")
        self._changes.notify()

    async def _flush_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            if self._queue:
                await self._flush()
            await asyncio.sleep(_until_tick(started, loop.time(), self._flush_s, self._flush_s))

    async def _flush(self) -> None:
        # The batch stays at the head until it is answered; what happens meanwhile queues up behind it.
        batch = list(islice(self._queue, BATCH_EVENTS))
        try:
            await self._post(f"/gameserver/{self.game_server_id}/events", write_batch(batch))
        except RequestFailed as error:
            self.counters.requeued += 1
            self._line(f"flush failed ({error}), {len(batch)} events go again")
        else:
            for _ in batch:
                self._queue.popleft()
            self.counters.batches += 1
            self.counters.events_sent += len(batch)
        self._changes.notify()

    async def _poll_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            await self._poll()
            await asyncio.sleep(_until_tick(started, loop.time(), self._poll_s, self._poll_s / 2))

    async def _poll(self) -> None:
        self.polling = True
        self._changes.notify()
        try:
            body = await self.http.get(f"/gameserver/{self.game_server_id}/poll")
        except RequestFailed:
            self.counters.polls_failed += 1
            self._changes.notify()
            return
        finally:
            self.polling = False
        self.counters.polls += 1
        try:
            for operation in read_operations(body):
                self._results.put_nowait((operation, self._dispatch(operation)))
        except UnreadableAnswer as error:
            self.counters.polls_unreadable += 1
            self._line(f"could not read the poll answer: {error}")
        self._changes.notify()

    def _dispatch(self, operation: Operation) -> bytes:
        """Run it now, whether or not it ran before: the mod keeps no memory of operation ids."""
        self.counters.operations += 1
        operation_id, action = operation.operation_id, operation.action
        try:
            args = read_args(self.generation, action, operation.args_json)
            if text := self.failing.get(action):
                raise RefusedOperation(text)
            value = self.world.perform(operation_id, action, args)
            result = write_result(self.generation, operation_id, action, args, value)
        except (UnreadableAnswer, RefusedOperation) as error:
            self._line(f"{action} refused: {error}")
            return write_error(self.generation, operation_id, str(error))
        self._line(f"{action} {args or ''}")
        return result

    async def _result_loop(self) -> None:
        while True:
            operation, body = await self._results.get()
            if self._results_in_turn:
                await self._post_result(operation, body)
                continue
            task = asyncio.ensure_future(self._post_result(operation, body))
            self._posting.add(task)
            task.add_done_callback(self._posting.discard)

    async def _post_result(self, operation: Operation, body: bytes) -> None:
        await asyncio.sleep(self.run_s)
        path = f"/gameserver/{self.game_server_id}/operation/{operation.operation_id}/result"
        try:
            await self._post(path, body)
            self.counters.results += 1
        except RequestFailed as error:
            self.counters.results_lost += 1
            self._line(f"result of {operation.action} lost: {error}")
        self._changes.notify()

    async def _post(self, path: str, body: bytes) -> bytes:
        content_type = "application/json"
        if self._send_authorization and self.identity_token:
            content_type += f"\r\nAuthorization: Bearer {self.identity_token}"
        return await self.http.post(path, body, content_type)


def _until_tick(started: float, now: float, period_s: float, tick_s: float) -> float:
    """How long until the first tick that is at least one period after `started`, and not in the past."""
    elapsed = now - started
    return max(period_s, math.ceil(elapsed / tick_s) * tick_s) - elapsed
