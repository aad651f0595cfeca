"""Real tiny processes under the supervisor: restarted, ended in order, never left behind."""

import asyncio
import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.supervise import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    PROVEN_AFTER_S,
    Program,
    next_pause_s,
    supervise,
)
from services.cli.supervisor import stop_on_signals
from services.relay.service.under_up import RESTARTS
from tests.support.waiting import until

# Each child writes a line to the file in DIARY when it starts, and one when it is told to end. SIGTERM waits
# until it is asked for: with a handler, one that comes just before signal.pause() would not end the child.
WELL_BEHAVED = """
import os, signal, sys
def note(text):
    with open(os.environ["DIARY"], "a") as diary:
        diary.write(f"{text} {sys.argv[1]} {os.getpid()}\\n")
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
note("start")
signal.sigwait({signal.SIGTERM})
note("end")
"""
IGNORES_SIGTERM = WELL_BEHAVED.replace("signal.sigwait({signal.SIGTERM})", "signal.pause()")
WRONG_SETTING = "import sys; sys.exit(2)"


class Diary:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]

    def told(self) -> list[str]:
        return [f"{verb} {name}" for verb, name, _ in self.lines()]

    def pid(self, name: str) -> int:
        return next(int(pid) for verb, who, pid in reversed(self.lines()) if (verb, who) == ("start", name))

    def program(self, name: str, code: str = WELL_BEHAVED) -> Program:
        argv = (sys.executable, "-S", "-c", code, name)
        return Program(name, argv, {**os.environ, "DIARY": str(self.path)})


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


class SupervisedRun:
    """`supervise` in the background."""

    def __init__(self, *programs: Program, stop_within_s: float = 20.0) -> None:
        self.stop, self.kill = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(supervise(programs, self.stop, self.kill, stop_within_s))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_programs_end_in_the_opposite_order_of_their_start(diary: Diary) -> None:
    run = SupervisedRun(diary.program("store"), diary.program("modapi"), diary.program("uplink"))
    await until(lambda: len(diary.told()) == 3)
    run.stop.set()
    assert await run.task == 0
    assert diary.told()[3:] == ["end uplink", "end modapi", "end store"]


async def test_a_program_waits_until_the_one_before_it_is_ready(diary: Diary) -> None:
    store, ready = diary.program("store"), asyncio.Event()

    async def until_ready() -> None:
        await ready.wait()

    run = SupervisedRun(Program(store.name, store.argv, store.environ, until_ready), diary.program("uplink"))
    await until(lambda: diary.told() == ["start store"])
    ready.set()
    await until(lambda: diary.told() == ["start store", "start uplink"])
    run.stop.set()
    assert await run.task == 0


async def test_stopping_does_not_wait_for_readiness(diary: Diary) -> None:
    store = diary.program("store")
    run = SupervisedRun(
        Program(store.name, store.argv, store.environ, lambda: asyncio.sleep(3600)), diary.program("uplink")
    )
    await until(lambda: diary.told() == ["start store"])
    run.stop.set()
    assert await run.task == 0
    assert diary.told() == ["start store", "end store"]


async def test_a_program_whose_own_end_finds_nobody_yet_gets_a_signal(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    store = replace(diary.program("store"), end=lambda: None)  # it does not listen yet
    run = SupervisedRun(store, stop_within_s=5.0)
    await until(lambda: diary.told() == ["start store"])
    run.stop.set()
    assert await run.task == 0
    assert diary.told() == ["start store", "end store"] and caplog.messages == []


async def test_a_killed_program_is_started_again_and_its_neighbour_is_left_alone(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    run = SupervisedRun(diary.program("uplink"), diary.program("modapi"))
    await until(lambda: len(diary.told()) == 2)
    os.kill(diary.pid("modapi"), signal.SIGKILL)
    await until(lambda: len(diary.told()) == 3)
    assert diary.told()[2] == "start modapi"
    run.stop.set()
    assert await run.task == 0
    assert caplog.messages == ["modapi ended (signal 9), starting it again in 0.5 s"]


async def test_a_restarted_program_gets_the_number_of_its_restarts(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = f"import os; open({str(told)!r}, 'a').write(os.environ['{RESTARTS}'] + ' ')"
    run = SupervisedRun(Program("uplink", (sys.executable, "-S", "-c", code), os.environ))
    await until(lambda: told.exists() and told.read_text().startswith("0 1 "))
    run.stop.set()
    assert await run.task == 0


async def test_a_wrong_setting_in_one_program_ends_all_with_its_code(diary: Diary) -> None:
    run = SupervisedRun(diary.program("uplink"), diary.program("modapi", WRONG_SETTING))
    async with asyncio.timeout(60):
        assert await run.task == 2
    assert diary.told()[1:] in ([], ["end uplink"])


async def test_a_program_that_cannot_be_started_is_tried_again(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    run = SupervisedRun(Program("valkey", (str(diary.path.parent / "missing"),), {}))
    await until(lambda: len(caplog.messages) >= 3)
    run.stop.set()
    assert await run.task == 0
    assert caplog.messages[0] == "valkey cannot be started: No such file or directory"


async def test_a_fault_of_the_program_ends_all_in_order_and_is_raised(diary: Diary) -> None:
    """Otherwise the services would go on without a store that nobody starts again."""
    begun = threading.Event()

    def mend(failed: bool) -> list[str]:
        begun.wait(60)
        raise RuntimeError("a fault")

    uplink = diary.program("uplink", "raise SystemExit(1)")
    run = SupervisedRun(diary.program("store"), Program(uplink.name, uplink.argv, uplink.environ, mend=mend))
    await until(lambda: diary.told() == ["start store"])
    begun.set()
    async with asyncio.timeout(60):
        with pytest.raises(RuntimeError, match="a fault"):
            await run.task
    assert diary.told() == ["start store", "end store"]


async def test_a_program_that_does_not_end_is_killed_after_a_while(diary: Diary) -> None:
    run = SupervisedRun(diary.program("uplink"), diary.program("modapi", IGNORES_SIGTERM), stop_within_s=0.2)
    await until(lambda: len(diary.told()) == 2)
    pid = diary.pid("modapi")
    run.stop.set()
    assert await run.task == 0
    assert not is_alive(pid)
    assert diary.told()[2:] == ["end uplink"] or diary.told()[2:] == []


async def test_a_second_signal_kills_at_once(diary: Diary) -> None:
    run = SupervisedRun(diary.program("modapi", IGNORES_SIGTERM), stop_within_s=3600)
    await until(lambda: len(diary.told()) == 1)
    run.stop.set()
    run.kill.set()
    async with asyncio.timeout(60):
        assert await run.task == 0
    assert not is_alive(diary.pid("modapi"))


@pytest.mark.parametrize(("one_signal_s", "kills"), [(3600.0, False), (0.0, True)])
async def test_a_signal_that_comes_twice_at_once_is_no_second_one(
    one_signal_s: float, *, kills: bool
) -> None:
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    try:
        stop, kill = stop_on_signals(one_signal_s)
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(3):
            await asyncio.sleep(0)
        assert kill.is_set() is kills
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_programs_do_not_outlive_a_killed_supervisor(diary: Diary) -> None:
    code = f"""
import asyncio, os, sys
from services.cli.supervise import Program, supervise
program = Program("modapi", (sys.executable, "-S", "-c", {WELL_BEHAVED!r}, "modapi"), dict(os.environ))
asyncio.run(supervise([program], asyncio.Event(), asyncio.Event()))
"""
    environ = {**os.environ, "DIARY": str(diary.path)}
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=environ)
    await until(lambda: len(diary.told()) == 1)
    supervisor.kill()
    await supervisor.wait()
    await until(lambda: diary.told() == ["start modapi", "end modapi"])
    await until(lambda: not is_alive(diary.pid("modapi")))


def test_pauses_double_up_to_the_longest() -> None:
    pauses = [0.0]
    for _ in range(7):
        pauses.append(next_pause_s(pauses[-1], lived_s=0.1))
    assert pauses[1:] == [0.5, 1, 2, 4, 8, 10, 10]


@given(st.floats(0, LONGEST_PAUSE_S), st.floats(0, 1e6))
def test_a_pause_is_bounded_and_the_first_one_again_after_a_proven_life(
    last_s: float, lived_s: float
) -> None:
    pause_s = next_pause_s(last_s, lived_s)
    assert pause_s <= LONGEST_PAUSE_S
    if lived_s >= PROVEN_AFTER_S:
        assert pause_s == FIRST_PAUSE_S
