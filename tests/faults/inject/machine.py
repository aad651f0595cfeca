"""What a fault needs of its machine. If that is missing, the scenario is skipped with the reason."""

import os
import shutil
import subprocess


class NotPermitted(Exception):
    """This machine cannot inject the fault; the text says why and what to do."""


def need(*commands: str, root: bool = False) -> None:
    """Checks that these commands are installed, and that we are root if need be. Raises NotPermitted."""
    if missing := [command for command in commands if not shutil.which(command)]:
        raise NotPermitted(f"{', '.join(missing)} not installed: tests/install-packages installs it")
    if root and os.geteuid() != 0:
        raise NotPermitted("needs root")


def call(*command: str) -> None:
    """Runs a command of the machine. If it fails, raises NotPermitted with its message."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if done.returncode:
        raise NotPermitted(f"{' '.join(command[:4])}: {done.stderr.strip() or done.returncode}")
