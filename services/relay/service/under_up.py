"""What `dayz-relay up` tells the services that it runs, in their environment."""

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

RESTARTS = "DAYZ_RELAY_RESTARTS"  # number of times that `up` has started this program again

STORE_FOLDER = "DAYZ_RELAY_STORE_FOLDER"  # the folder of the store that `up` brings along

LOCAL_TOKEN_FILE = "DAYZ_RELAY_LOCAL_TOKEN_FILE"
"""The file with the local token: by it the command line on this machine uses the admin API."""


def restarts(environ: Mapping[str, str]) -> int:
    """Number of times that `up` has started this process again; 0 also without `up`."""
    text = environ.get(RESTARTS, "")
    return int(text) if text.isdecimal() else 0


def store_disk_free_bytes(environ: Mapping[str, str]) -> float:
    """Room on the disk of the store of `up`; NaN if there is none, or if it is unknown."""
    try:
        return float(shutil.disk_usage(environ[STORE_FOLDER]).free)
    except (KeyError, OSError):
        return math.nan


def local_token(environ: Mapping[str, str]) -> str:
    """The local token; "" if `up` made none, or if its file cannot be read."""
    try:
        return Path(environ[LOCAL_TOKEN_FILE]).read_text("ascii").strip()
    except (KeyError, OSError, ValueError):
        return ""
