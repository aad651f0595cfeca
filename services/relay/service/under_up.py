"""What `dayz-relay up` tells the services that it runs, in their environment, for their metrics."""

import math
import shutil
from collections.abc import Mapping

RESTARTS = "DAYZ_RELAY_RESTARTS"
"""Number of times that `up` has started this program again."""

STORE_FOLDER = "DAYZ_RELAY_STORE_FOLDER"
"""The folder of the store that `up` brings along."""


def restarts(environ: Mapping[str, str]) -> int:
    """Number of times that `up` has started this process again; 0 also without `up`."""
    told = environ.get(RESTARTS, "")
    return int(told) if told.isdecimal() else 0


def store_disk_free_bytes(environ: Mapping[str, str]) -> float:
    """Room on the disk of the store of `up`; NaN if there is none, or if it cannot be told."""
    try:
        return float(shutil.disk_usage(environ[STORE_FOLDER]).free)
    except (KeyError, OSError):
        return math.nan
