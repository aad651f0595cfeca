"""`make wheel`: the wheel of the last commit. The same commit gives the same bytes, anywhere and at any time.

It is built from what git holds, not from the working copy: with the commit's time, and with the same rights
for every file. Only another version of zlib may pack the same contents into other bytes.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


def main() -> int:
    wheel = build(ROOT, "HEAD", Path(sys.argv[1]))
    sys.stdout.write(f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel}\n")
    return 0


def build(repository: Path, commit: str, folder: Path) -> Path:
    """The wheel in `folder`. Raises CalledProcessError."""
    time_s = git(repository, "log", "-1", "--format=%ct", commit).decode().strip()
    with tempfile.TemporaryDirectory(prefix="dayz-wheel-") as source:
        files = git(repository, "-c", "tar.umask=0022", "archive", commit)
        with tarfile.open(fileobj=io.BytesIO(files)) as archive:
            # Debian 12's Python 3.11.2 has no filters; its extractall would not take the argument.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(source)
        subprocess.run(
            [sys.executable, "-c", BUILD, folder.absolute()],
            cwd=source,
            env=os.environ | {"SOURCE_DATE_EPOCH": time_s},
            umask=0o022,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def git(repository: Path, *args: str) -> bytes:
    return subprocess.run(["git", "-C", repository, *args], check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    sys.exit(main())
