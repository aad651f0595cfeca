"""The local token: a secret, new at each start of `up`, by which commands on this machine use the admin API.

It is in a file that only its user may read, in the folder of the data. modapi reads it at its start.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = "admin-token"
TOKEN_BYTES = 32

logger = logging.getLogger(__name__)


@contextmanager
def in_force(data: Path) -> Iterator[str]:
    """Writes a new token into the folder `data`, and deletes it at the end.

    Yields the path of its file; "" if it cannot be written: then commands need another token.
    """
    path = data.resolve() / NAME
    try:
        _write(path, os.urandom(TOKEN_BYTES).hex())
    except OSError as error:
        logger.warning(
            "%s: cannot be written (%s): commands on this machine need a token", path, error.strerror
        )
        yield ""
        return
    try:
        yield str(path)
    finally:
        with suppress(OSError):
            path.unlink()


def read(data: Path) -> str:
    """The token of the `up` that runs with the folder `data`; "" if there is none, or if this user may not
    read it."""
    try:
        return (data / NAME).read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _write(path: Path, token: str) -> None:
    """Writes the file anew: one that is there may be open to others, or a link to somewhere else."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(token + "\n")
