"""How tests reach a container engine."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.deploy.compose import TEXT

REDIS = str(yaml.safe_load(TEXT)["services"]["redis"]["image"])


class NoEngine(Exception):
    """There is none, and none can be made. The text says why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How to reach it, and what has to differ from docker-compose.yml there."""

    environ: dict[str, str]
    override: dict[str, dict[str, object]] = field(default_factory=dict)

    def docker(self, *args: str, check: bool = True, folder: Path | None = None, **environ: str) -> str:
        """What the command prints, errors included. Raises AssertionError if it fails and `check` is set."""
        code, output = self._run(args, folder, environ)
        assert not check or code == 0, f"docker {' '.join(args)}: {output[-4000:]}"
        return output

    def succeeds(self, *args: str) -> bool:
        return self._run(args, None, {})[0] == 0

    def _run(self, args: tuple[str, ...], folder: Path | None, environ: dict[str, str]) -> tuple[int, str]:
        done = subprocess.run(
            ["docker", *args],
            env=os.environ | self.environ | environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout
