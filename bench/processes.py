"""CPU time and memory of a process, read from Linux."""

import os
import resource
import time
from pathlib import Path
from typing import NamedTuple

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of all threads of a process, in seconds, from its clock (clock_getcpuclockid(3)).

    /proc/<pid>/stat has hundredths of a second only.
    """
    return time.clock_gettime(~pid << 3 | 2)


class Memory(NamedTuple):
    """In MiB. PSS divides a shared page among the processes that share it."""

    rss: float
    pss: float


def memory_of(pid: int) -> Memory:
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        found[name] = int(value) / 1024
    return Memory(found["Rss:"], found["Pss:"])


class Machine:
    """Other load on the machine since this was made: its busy time without ours and our ended children's."""

    def __init__(self) -> None:
        self._begun_s = time.monotonic()
        self._busy_s, self._ours_s = _busy_s(), _ours_s()

    def elsewhere(self) -> float:
        """How many cores others kept busy, on average."""
        others_s = (_busy_s() - self._busy_s) - (_ours_s() - self._ours_s)
        return max(0.0, others_s) / (time.monotonic() - self._begun_s)


def _busy_s() -> float:
    user, nice, system, _, _, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK_S


def _ours_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
