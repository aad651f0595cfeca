"""Sets the wall clock of one process, by a small library that is loaded into it (clock.c)."""

import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from tests.faults.inject.machine import NotPermitted, need

_SOURCE = Path(__file__).with_name("clock.c")


class WrongClock:
    """Start a process with `prefix` before its command. `move(seconds)` sets how far its wall clock is
    ahead."""

    def __init__(self) -> None:
        need("cc")
        self._folder = Path(tempfile.mkdtemp(prefix="relay-clock-"))
        library, self._offset = self._folder / "clock.so", self._folder / "offset"
        self.move(0)
        built = subprocess.run(
            ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)],
            capture_output=True,
            text=True,
        )
        if built.returncode:
            self.remove()
            raise NotPermitted(f"cc: {built.stderr.strip()[:200]}")
        self.prefix = "env", f"LD_PRELOAD={library}", f"CLOCK_SHIM_FILE={self._offset}"

    def move(self, seconds: float) -> None:
        """Takes whole seconds. The process maps the file, so it is written in place."""
        mode = "r+b" if self._offset.exists() else "wb"
        with self._offset.open(mode) as file:
            file.write(struct.pack("d", seconds))

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
