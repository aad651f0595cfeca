"""A command that runs until Ctrl-C ends when nobody is left to press it."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import until_other_processes

ROOT = Path(__file__).parents[2]
WITHIN_S = 40.0
WATCH = """
import asyncio
from services.cli.watching import until_nobody_watches

async def watch():
    print("begun", flush=True)
    await asyncio.sleep(60)

asyncio.run(until_nobody_watches(watch()))
"""
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal that is nobody's controlling terminal, as in a container: no SIGHUP comes from it."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        try:
            os.close(end)
        except OSError:
            pass


def test_watching_ends_when_its_terminal_is_gone(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    process = subprocess.Popen([sys.executable, "-c", WATCH], env=ENVIRON, stdin=theirs, stdout=theirs)
    os.close(theirs)
    assert b"begun" in os.read(ours, 100)
    os.close(ours)
    process.wait(WITHIN_S)


def test_watching_ends_when_nobody_reads_its_output() -> None:
    process = subprocess.Popen([sys.executable, "-c", WATCH], env=ENVIRON, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    process.wait(WITHIN_S)


def test_at_a_terminal_watching_ends_with_its_parent(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    begin = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {WATCH!r}]).pid)"
    parent = subprocess.Popen(
        [sys.executable, "-c", f"{begin}; sys.stdout.flush(); input()"],
        env=ENVIRON,
        stdin=theirs,
        stdout=theirs,
    )
    said = b""
    while b"begun" not in said:
        said += os.read(ours, 100)
    pid = int(said.split()[0])
    parent.kill()
    parent.wait(WITHIN_S)
    until_other_processes(lambda: _state(pid) == "Z")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


ASKED, ANSWER = b"\x1b[5n", b"\x1b[0n"
SILENT_S = 3.0
IN_CONTAINER = WATCH.replace("watch()))", f"watch(), in_container=True, silent_s={SILENT_S}))")


def answers(ours: int, for_s: float, process: subprocess.Popen[bytes], within_s: float) -> None:
    """Reads what comes, as a container's manager does, and answers for so long. Returns when it has ended, or
    `within_s` later."""
    ends_s = time.monotonic() + for_s
    while process.poll() is None and time.monotonic() < ends_s + within_s:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        if ASKED in os.read(ours, 1000) and time.monotonic() < ends_s:
            os.write(ours, ANSWER)


def test_in_a_container_watching_ends_when_its_terminal_stops_answering(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    process = subprocess.Popen([sys.executable, "-c", IN_CONTAINER], env=ENVIRON, stdin=theirs, stdout=theirs)
    begun_s = time.monotonic()
    answers_s = SILENT_S + 1.0
    answers(ours, answers_s, process, WITHIN_S)
    assert process.poll() == 0 and time.monotonic() - begun_s > answers_s


def test_a_terminal_that_never_answers_does_not_count_as_gone(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    process = subprocess.Popen([sys.executable, "-c", IN_CONTAINER], env=ENVIRON, stdin=theirs, stdout=theirs)
    answers(ours, 0.0, process, SILENT_S + 2.0)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(WITHIN_S) == 0


WATCH_FOR_SOME_LOOKS = """
import asyncio
from services.cli.watching import until_nobody_watches

async def watch():
    await asyncio.sleep(0.5)
    print("it goes on", flush=True)
    await asyncio.sleep(60)

asyncio.run(until_nobody_watches(watch(), look_every_s=0.05))
"""


def test_behind_a_pipe_watching_outlives_its_parent(tmp_path: Path) -> None:
    """As with `nohup … > file &`."""
    with (tmp_path / "said").open("wb") as file:
        begin = (
            "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', sys.argv[1]],"
            " stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL); print(p.pid, file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", begin, WATCH_FOR_SOME_LOOKS],
            env=ENVIRON,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    pid = int(done.stderr)
    until_other_processes(lambda: "it goes on" in (tmp_path / "said").read_text())
    assert _state(pid) not in ("Z", "")
    os.kill(pid, 15)
