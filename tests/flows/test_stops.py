"""`dayz-relay up` is stopped while Takaro waits for answers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from services.relay.protocol.command_states import NOT_DELIVERED
from services.relay.protocol.vocabulary import Action
from services.sim.dayz.generations import Generation
from services.sim.dayz.server import SimModConfig
from services.sim.ports import free_ports
from services.sim.takaro import requests
from services.sim.takaro.socket import Answer
from tests.flows.conftest import REGISTRATION_TOKEN, block, key
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.waiting import until
from tests.support.watched_dayz import WatchedDayz

WITHIN_S = 60.0


@asynccontextmanager
async def up(folder: Path, takaro: FaultyTakaro) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A relay in one command, and the address that its mods call."""
    mods_port, *admin_ports = free_ports(3)
    config = folder / "relay.toml"
    config.write_text(
        f'[takaro]\nurl = "{takaro.url}"\nregistration_token = "{REGISTRATION_TOKEN}"\n'
        f"[modapi]\nport = {mods_port}\nadmin_port = {admin_ports[0]}\n"
        f"[uplink]\nadmin_port = {admin_ports[1]}\n[[instance]]\n{block('one')}"
    )
    config.chmod(0o600)
    clean = {name: text for name, text in os.environ.items() if not name.startswith(("RELAY_", "TAKARO_"))}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli", "up",
            "--config", str(config), "--data", str(folder / "data"),
            env=clean | {"TMPDIR": str(folder)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process, f"http://127.0.0.1:{mods_port}/k/{key('one')}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def is_listening(url: str) -> bool:
    parts = urlsplit(url)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_stop_of_up_answers_every_open_request(tmp_path: Path) -> None:
    identity = "identity-one"

    def give(number: int) -> asyncio.Task[Answer]:
        args = requests.console(f"give {number}")
        return asyncio.create_task(takaro.request(identity, Action.EXECUTE_CONSOLE_COMMAND, args))

    async with (
        FaultyTakaro(registration_tokens={REGISTRATION_TOKEN}, ask_location=False) as takaro,
        up(tmp_path, takaro) as (relay, url),
    ):
        await takaro.wait_for(lambda: takaro.is_connected(identity), WITHIN_S)
        await until(lambda: is_listening(url))  # a mod registers once
        mod = WatchedDayz(SimModConfig(url, key("one")), Generation.SCANNER)
        mod.run_s = 4.0
        running = asyncio.create_task(mod.run())
        await mod.wait_for(lambda: mod.counters.polls, WITHIN_S)
        handed = [give(number) for number in range(6)]
        await mod.wait_for(lambda: len(mod.world.effects) == 6)
        queued = give(6)
        relay.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WITHIN_S):
            answers = await asyncio.gather(*handed, queued)
            assert await relay.wait() == 0, (tmp_path / "log").read_text()
        running.cancel()
        assert [answer.error for answer in answers[:6]] == [None] * 6
        last = answers[6].error
        assert last is None or NOT_DELIVERED in last
        assert len(mod.world.effects) == 7 - bool(last)  # what was not delivered was not run
