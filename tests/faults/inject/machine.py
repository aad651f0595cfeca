"""What a fault asks of the machine it runs on, and in which words a scenario is skipped without it."""

import os
import shutil
import subprocess


class NotPermitted(Exception):
    """This machine does not let the fault be injected; the text says why and what to do."""


def need(*commands: str, root: bool = False) -> None:
    """Raises NotPermitted."""
    if missing := [command for command in commands if not shutil.which(command)]:
        raise NotPermitted(f"{', '.join(missing)} not installed: tests/install-packages installs it")
    if root and os.geteuid() != 0:
        raise NotPermitted("needs root")


def call(*command: str) -> None:
    """Runs a command of the machine. Raises NotPermitted with its words when it refuses."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise NotPermitted(f"{' '.join(command[:4])}: {done.stderr.strip() or done.returncode}")
