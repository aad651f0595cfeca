"""What stands once, and is repeated in pages and in deploy/: the address of this repository, and the version.

A release changes `version` in pyproject.toml, whoever publishes the repository ADDRESS. `make docs` then
writes both wherever they are named.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
ADDRESS = "<address of this repository>"
"""What `git clone` gets."""
VERSION = str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])

CLONE = (r"git clone .+? dayz-relay\b", f"git clone {ADDRESS} dayz-relay")
IMAGE = (r"image: dayz-relay:\S+", f"image: dayz-relay:{VERSION}")
PLACES = {
    "README.md": CLONE,
    "docs/compose.md": CLONE,
    "docs/windows.md": CLONE,
    "deploy/Dockerfile": (r"ARG VERSION=\S+", f"ARG VERSION={VERSION}"),
    "deploy/kubernetes/modapi.yaml": IMAGE,
    "deploy/kubernetes/uplink.yaml": IMAGE,
}
"""The files, with what is looked for there and what is put in its place."""


def files() -> dict[Path, str]:
    """Each file as it should be. Raises ValueError for one that repeats nothing."""
    found = {}
    for name, (pattern, text) in PLACES.items():
        found[ROOT / name], times = re.subn(pattern, text, (ROOT / name).read_text(encoding="utf-8"))
        if not times:
            raise ValueError(f"{name} has nothing like {pattern}")
    return found
