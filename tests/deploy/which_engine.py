"""Which container engine the tests of Compose use: the one of this machine, or one of their own.

As a command: whether `make test` can use that of this machine; if not, it says why.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.deploy import own_engine
from tests.deploy.engine import REDIS, Engine, NoEngine


@contextmanager
def engine() -> Iterator[Engine]:
    """Raises NoEngine."""
    theirs = Engine({})
    why_not = unusable(theirs)
    if not why_not:
        yield theirs
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoEngine(f"{why_not}, and to make one takes root on Debian")
    with own_engine.running() as own:
        yield own


def unusable(theirs: Engine) -> str:
    """Why the engine of this machine cannot be used; empty if it can."""
    if not shutil.which("docker") or "Server Version" not in theirs.docker("info", check=False):
        return "no container engine answers here"
    if not theirs.succeeds("compose", "version"):
        return "the engine of this machine has no Compose plugin"
    if not theirs.succeeds("image", "inspect", REDIS) and not theirs.succeeds("pull", "--quiet", REDIS):
        return "the engine of this machine cannot fetch images"
    return ""


if __name__ == "__main__":
    if why_not := unusable(Engine({})):
        sys.exit(
            f"Compose is not tested: {why_not}. `make compose-test` brings an engine of its own where it can."
        )
