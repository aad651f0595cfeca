"""The agent as a process between a process that writes logs like a game server, and a real modapi and
store."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi.app import make_app
from services.modapi.main import logger
from services.modapi.metrics import ModapiMetrics
from services.modapi.served_instances import ServedInstances
from services.relay.instances.definitions import merge
from services.relay.service.http.listener import Listener
from services.relay.service.http.ports import bind
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance, ModApi
from services.relay.store.client import Store
from services.relay.store.event_stream import EventStream
from tests.support.ages import just_now
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = pytest.mark.flow

KEY = "mod-key-0123456789abcdef"
WITHIN_S = 40.0

GAME_SERVER = """
import sys, time
from pathlib import Path
folder, starts, lines = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for start in range(starts):
    rpt = open(folder / f"DayZServer_x64_2026-03-08_11-34-{start:02}.RPT", "ab", buffering=0)
    script = open(folder / f"script_2026-03-08_11-34-{start:02}.log", "ab", buffering=0)
    for n in range(lines):
        rpt.write(b"11:34:%02d.%03d start %d line %d, caf" % (start, n % 1000, start, n))
        if n % 7 == 0:
            time.sleep(0.01)  # in the middle of a line
        rpt.write(b"\\xe9\\r\\n" if n % 2 else "é\\r\\n".encode())
        if n % 5 == 0:
            script.write(b"start %d line %d, caf\\xe9\\n" % (start, n))
"""


def written(starts: int, lines: int) -> list[str]:
    return [
        f"11:34:{start:02}.{n % 1000:03} start {start} line {n}, café"
        for start in range(starts)
        for n in range(lines)
    ]


class AgentWithModapi:
    """A folder of logs, a modapi in front of the store, and an agent between them."""

    def __init__(self, store: Store, slug: str, folder: Path) -> None:
        self.logs = folder / "profiles"
        self.logs.mkdir()
        self.told = folder / "agent.log"
        self._folder = folder
        self._stream = EventStream(store, slug)
        instance = Instance(
            slug=slug, name="A server", identity_token=SecretStr("identity"), mod_keys=(SecretStr(KEY),)
        )
        self.metrics = ModapiMetrics(CollectorRegistry())
        served_instances = ServedInstances(store, self.metrics, logger, ModApi(hold_polls_s=0.0))
        served_instances.update(merge([instance], {}, just_now))
        self._app = make_app(served_instances, self.metrics)
        self.port = free_port()
        self._serving: asyncio.Task[None] | None = None
        self._agent: asyncio.subprocess.Process | None = None

    def open(self) -> None:
        """Start modapi."""
        sock = bind("127.0.0.1", self.port, "test")
        self._serving = asyncio.create_task(Listener(self._app).listen(sock))

    async def close(self) -> None:
        if self._serving:
            await cancelled(self._serving)
        if self._agent:
            await self.end_agent(signal.SIGKILL)

    async def start_agent(self, **environ: str) -> None:
        """Wait until the agent follows the folder."""
        url = f"http://127.0.0.1:{self.port}/k/{KEY}"
        before = self.told.read_text().count("sends the logs of") if self.told.exists() else 0
        with self.told.open("ab") as log:
            self._agent = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.cli", "agent"),
                *("--logs", str(self.logs), "--state", str(self._folder / "state.json")),
                env={**os.environ, "DAYZ_RELAY_URL": url, "DAYZ_LOG_MAX_PER_SEC": "2000", **environ},
                stdout=log,
                stderr=log,
            )
        await until(lambda: self.told.read_text().count("sends the logs of") > before)

    async def end_agent(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self._agent
        agent, self._agent = self._agent, None
        agent.send_signal(number)
        return await agent.wait()

    async def game_server(self, starts: int, lines: int) -> None:
        """Run the agent until it ends."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", GAME_SERVER, str(self.logs), str(starts), str(lines))
        )
        assert await process.wait() == 0

    async def stored(self) -> list[str]:
        return [e["data"]["msg"] for entry in await self._stream.read("", 10_000) for e in entry.events]

    async def until_stored(self, is_enough: Callable[[list[str]], bool]) -> list[str]:
        return await until(self.stored, WITHIN_S, met=is_enough)


@pytest.fixture
async def run(store: Store, slug: str, tmp_path: Path) -> AsyncIterator[AgentWithModapi]:
    run = AgentWithModapi(store, slug, tmp_path)
    run.open()
    yield run
    await run.close()


async def test_every_line_of_several_starts_comes_once_and_in_order(run: AgentWithModapi) -> None:
    (run.logs / "DayZServer_x64_2026-03-07_00-00-00.RPT").write_text("from before\n")
    await run.start_agent()
    await run.game_server(3, 200)
    last = ("11:35:00.000 the last line", "the last line of the script")
    for pattern, line in zip(("*-02.RPT", "*-02.log"), last, strict=True):
        [path] = run.logs.glob(pattern)
        with path.open("a") as file:
            file.write(f"{line}\n")
    lines = await run.until_stored(lambda lines: set(last) <= set(lines))
    assert [line for line in lines if line not in last] == written(3, 200)
    assert await run.end_agent() == 0
    assert KEY not in run.told.read_text()


async def test_a_restarted_agent_repeats_and_misses_no_line(run: AgentWithModapi) -> None:
    await run.start_agent()
    playing = asyncio.create_task(run.game_server(2, 800))
    await run.until_stored(lambda lines: len(lines) > 50)
    assert await run.end_agent() == 0
    await playing
    await run.start_agent()
    # A line of the script log may be sent although the earlier agent has sent it from the RPT.
    lines = await run.until_stored(lambda lines: set(written(2, 800)) <= set(lines))
    from_rpt = [line for line in lines if line.startswith("11:34:")]
    assert from_rpt == written(2, 800)


async def test_a_killed_agent_repeats_at_most_one_batch(run: AgentWithModapi) -> None:
    await run.start_agent()
    playing = asyncio.create_task(run.game_server(1, 1500))
    for _ in range(3):
        count = len(await run.stored())
        await run.until_stored(lambda lines, count=count: len(lines) > count)  # type: ignore[misc]
        await run.end_agent(signal.SIGKILL)
        await run.start_agent()
    await playing
    lines = await run.until_stored(lambda lines: set(written(1, 1500)) <= set(lines))
    from_rpt = [line for line in lines if line.startswith("11:34:")]
    assert len(from_rpt) <= 1500 + 3 * 50
    assert list(dict.fromkeys(from_rpt)) == written(1, 1500)


async def test_an_agent_that_is_killed_before_the_first_log_misses_no_line_of_it(
    run: AgentWithModapi,
) -> None:
    await run.start_agent()
    await run.end_agent(signal.SIGKILL)
    await run.game_server(1, 20)
    await run.start_agent()
    assert await run.until_stored(lambda lines: len(lines) >= 20) == written(1, 20)


async def test_a_log_that_is_renamed_or_copied_is_not_sent_again(run: AgentWithModapi) -> None:
    log = run.logs / "DayZServer_x64.ADM"
    log.write_text("".join(f"from before, line {number}\n" for number in range(50)))
    await run.start_agent()
    log = log.rename(run.logs / "DayZServer_x64_2026-03-08_11-34-31.ADM")
    shutil.copyfile(log, run.logs / "copy of it.ADM")
    with log.open("a") as file:
        file.write("new\n")
    await run.until_stored(lambda lines: "new" in lines)
    await run.end_agent()
    log.rename(run.logs / "DayZServer_x64.ADM")
    await run.start_agent()
    (run.logs / "another.ADM").write_text("the first line of another\n")
    lines = await run.until_stored(lambda lines: "the first line of another" in lines)
    assert lines == ["new", "the first line of another"]


async def test_lines_wait_while_the_relay_is_away(store: Store, slug: str, tmp_path: Path) -> None:
    run = AgentWithModapi(store, slug, tmp_path)
    try:
        await run.start_agent()
        await run.game_server(1, 120)
        await until(lambda: "they wait" in run.told.read_text())
        run.open()
        assert await run.until_stored(lambda lines: len(lines) >= 120) == written(1, 120)
        await until(lambda: "there again" in run.told.read_text())
        assert KEY not in run.told.read_text()
    finally:
        await run.close()


async def test_denied_lines_are_left_out_and_lines_over_the_rate_dropped_and_counted(
    run: AgentWithModapi,
) -> None:
    await run.start_agent(DAYZ_LOG_MAX_PER_SEC="1", DAYZ_LOG_DENY="line 1,line 2")
    lines = [f"line {number}\n" for number in range(100)]
    (run.logs / "a.ADM").write_text("".join(lines))
    wanted = [line.strip() for line in lines if line[5] not in "12"]
    got = await run.until_stored(lambda lines: any("dropped" in line for line in lines))
    assert got == [*wanted[:10], f"dayz-relay agent: {len(wanted) - 10} log lines dropped"]


async def test_lines_of_the_agent_and_events_of_the_mod_are_both_stored(run: AgentWithModapi) -> None:
    await run.start_agent()
    playing = asyncio.create_task(run.game_server(1, 400))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{run.port}/k/{KEY}", timeout=30) as mod:
        posted = 0
        while not playing.done():
            event = {"type": "log", "msg": "the mod's"}  # the same each time, and always a new event
            answer = await mod.post("/gameserver/local/events", json={"events": [event]})
            assert answer.status_code == 200
            posted += 1
    lines = await run.until_stored(lambda lines: len(lines) >= 400 + posted)
    assert lines.count("the mod's") == posted
    assert [line for line in lines if line != "the mod's"] == written(1, 400)


@pytest.mark.parametrize("environ", [{"DAYZ_RELAY_URL": ""}, {"DAYZ_LOG_DENY": "("}])
async def test_a_wrong_setting_ends_the_agent_with_exit_code_2(
    run: AgentWithModapi, environ: dict[str, str]
) -> None:
    url = {"DAYZ_RELAY_URL": "http://127.0.0.1:1", "DAYZ_LOG_DIR": str(run.logs)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "agent"),
        env={**os.environ, **url, **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 2 and told.startswith(b"dayz-relay: DAYZ_")
