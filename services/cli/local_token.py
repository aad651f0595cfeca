"""The local token: a secret, new at each start of `up`, by which commands on this machine use the admin API.

It is in a file that only its user may read, in the folder of the data. modapi reads it at its start.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.cli import private_files
from services.relay.service import under_up

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
        private_files.replace(path, f"{os.urandom(TOKEN_BYTES).hex()}\n".encode())
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
    return under_up.local_token({under_up.LOCAL_TOKEN_FILE: str(data / NAME)})
