"""Files that only this user can read, and locks."""

import errno
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def create(path: Path, content: bytes) -> None:
    """Write a new file, as a whole or not at all. Raises OSError, also if it is there already."""
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # most often for lack of room
        path.unlink()
        raise


def replace(path: Path, content: bytes) -> None:
    """Write a file, its folder too, as a whole or not at all, and onto the disk. Raises OSError.

    One that is there may be open to others, or a link to somewhere else.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    create(new, content)
    new.replace(path)
    if sys.platform != "win32":  # a folder cannot be synced there
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def lock(path: Path, *, wait: bool = False) -> int | None:
    """Hold a lock as long as the file that is returned, which no child inherits, is open.

    None: another process holds it. With `wait` only Windows says so, after ten seconds. Raises OSError if the
    file or its folder cannot be made, or the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            msvcrt.locking(lock, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(lock)
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return None
        raise
    return lock
