"""Runs `dayz-relay` in this process: a new process would need a third of a second."""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from services.cli.main import main

OURS = ("RELAY_", "TAKARO_", "DAYZ_", "XDG_")


class Terminal:
    """Runs commands in a folder, with no settings but those of `environ`."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        clean = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
        self.environ = {**clean, "XDG_CONFIG_HOME": str(folder / "config"), **environ}

    def run(self, *argv: str, code: int = 0, given: str = "") -> str:
        """Runs a command that must end with `code`. Returns its output of both streams."""
        said, hook = io.StringIO(), sys.excepthook
        stdin = io.TextIOWrapper(io.BytesIO(given.encode()))
        with (
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, self.environ, clear=True),
            mock.patch.object(sys, "stdin", stdin),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            ended = main(argv)
        sys.excepthook = hook
        assert ended == code, said.getvalue()
        return said.getvalue()

    def json(self, *argv: str, **more: Any) -> Any:
        return json.loads(self.run(*argv, "--json", **more))
