"""Starts and ends the processes of one relay, by the means of the operating system."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

if sys.platform == "win32":
    import subprocess

    import win32api
    import win32job

    # Windows has no signals between processes: only this event, and a kill.
    ASK_TO_END, END_NOW = signal.CTRL_BREAK_EVENT, signal.SIGTERM
else:
    import ctypes

    ASK_TO_END, END_NOW = signal.SIGTERM, signal.SIGKILL

Process = asyncio.subprocess.Process


async def start(argv: tuple[str, ...], environ: Mapping[str, str], folder: Path | None) -> Process:
    """Starts a process in `folder` that ends with this one. Raises OSError.

    Ctrl-C reaches a whole group of processes: in a group of its own, each one ends when it is its turn.
    """
    how: dict[str, Any]
    if sys.platform == "win32":
        _job_of_children()
        how = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        # What it writes, players and tokens, is for this user only.
        how = {"start_new_session": True, "umask": 0o077, "preexec_fn": _end_with_parent()}
    return await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, env=dict(environ), cwd=folder, **how
    )


def send(process: Process, number: int) -> None:
    """Send ASK_TO_END or END_NOW to a process that may have ended."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        if sys.platform == "win32" and number == ASK_TO_END:
            try:
                # Not by send_signal: where this fails, that raises SystemError (seen with Python 3.11).
                win32api.GenerateConsoleCtrlEvent(number, process.pid)
            except win32api.error:  # without a console nobody can be asked
                process.terminate()
        else:
            process.send_signal(number)


if sys.platform == "win32":

    @cache
    def _job_of_children() -> object:
        """The job object of this process and its children. Windows ends all processes of a job when its last
        handle is closed. The cache keeps ours until this process ends, however it ends.
        """
        # Its stubs say that it returns nothing.
        job: Any = win32job.CreateJobObject(None, "")  # type: ignore[func-returns-value]
        kind = win32job.JobObjectExtendedLimitInformation
        limits = win32job.QueryInformationJobObject(job, kind)
        limits["BasicLimitInformation"]["LimitFlags"] |= win32job.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
        win32job.SetInformationJobObject(job, kind, limits)
        win32job.AssignProcessToJobObject(job, win32api.GetCurrentProcess())
        return job

else:

    def _end_with_parent() -> Callable[[], None] | None:
        """What a child does before it becomes its program: ask Linux for a SIGTERM when its parent dies.

        Without it a killed supervisor would leave a relay behind that holds the ports. Only the kernel can
        do this for Valkey as well; elsewhere the next `up` ends at least the Valkey that was left behind.
        """
        if sys.platform != "linux":
            return None
        # All loading happens here, in the parent: after the fork there is only a system call.
        prctl, parent = ctypes.CDLL(None, use_errno=True).prctl, os.getpid()
        set_parent_death_signal = 1

        def before_exec() -> None:
            prctl(set_parent_death_signal, signal.SIGTERM)
            if os.getppid() != parent:  # it died between the fork and the call
                os._exit(1)

        return before_exec
