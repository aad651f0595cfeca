"""F17-zeros: the power fails while the store that `up` starts is writing."""

import asyncio
import subprocess

from services.cli import own_store, store_place
from services.cli.append_only_files import CUT_OFF
from tests.faults.inject.disk import aof_bytes, fill_with_zeros, tear_tail
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import Run
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, binaries

MOST_ZEROS = 1 << 20


class EmbeddedServer(RedisServer):
    """The Valkey of `up`. Like `up`, it checks the files before each start."""

    def __init__(self) -> None:
        super().__init__(binaries()["valkey"], port=str(free_port()))
        self.socket = self.folder / store_place.SOCKET
        self.url = f"unix://{self.socket}"

    def begin(self) -> None:
        argv = own_store.prepare(self.folder)[0].argv
        self._process = subprocess.Popen([*argv, "--port", str(self.port)], cwd=self.folder)

    @property
    def log(self) -> str:
        return (self.folder / "valkey.log").read_text()


@scenario(
    "F17-zeros",
    "the power fails in the middle of a write: zeros behind the end of the embedded store's file",
    cycles=20,
    short=3,
    recovery_s=3.0,
)
async def zeros_behind_the_end(run: Run) -> None:
    store = EmbeddedServer()
    async with run.world(Shape(proxied=True), store=store) as world:
        mended = zeros = 0
        for _ in range(run.cycles):
            await run.pause(0.2, 0.6)
            proxy = world.redis_of["modapi-1"]
            # No write gets an answer from here on, so no accepted event can be torn off.
            proxy.drop_replies = True
            sound = aof_bytes(store.folder)
            await run.pause(0.2, 0.8)
            fault = world.fault("power cut")
            run.outcome.kills["redis"] += 1
            await asyncio.to_thread(store.kill)
            proxy.reset()
            proxy.drop_replies = False
            torn = tear_tail(store.folder, run.chance.randint(0, aof_bytes(store.folder) - sound))
            zeros += fill_with_zeros(store.folder, torn + run.chance.randrange(1, MOST_ZEROS))
            await asyncio.to_thread(store.start)
            kept = len(list((store.folder / CUT_OFF).glob("*")))
            run.must(kept > mended, "the bytes that are cut off are kept")
            mended = kept
            await world.recovered(fault)
        run.note("zeros behind the file, bytes", zeros)
        run.note("starts that cut them off", mended)
