"""Reads files that people write with any editor. The errors say what to do about a file without text."""

import os
import sys
from json import detect_encoding
from pathlib import Path

from services.relay.protocol.errors import ConfigError


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError, and ValueError with what is wrong and the fix."""
    return decoded(path.read_bytes())


def decoded(data: bytes) -> str:
    """Text from the bytes of a file: UTF-8, or what Notepad and PowerShell write. Raises ValueError."""
    encoding = detect_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        name = "-".join(encoding.split("-")[:2]).upper()
        raise ValueError(f"it is not {name} text: save it as UTF-8 in your editor") from None


def signature(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file is written anew; None: there is none, or it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def why_unreadable(path: Path, error: OSError | ValueError) -> str:
    """Why `path` could not be read; where a right is missing, also how to give it."""
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, PermissionError) and sys.platform != "win32":
        user = os.getuid()
        reason += f": it must be readable for user {user}, as after `sudo chown {user} {path.name}`"
    return reason


def unquoted(text: str) -> str:
    """The text without the quotation marks around it, if both are there."""
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text


def is_there(path: Path) -> bool:
    """Whether there is such a file or folder. Raises ConfigError if that cannot be found out."""
    try:
        path.stat()
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if isinstance(error, PermissionError) and sys.platform != "win32":
            reason += f": user {os.getuid()} must have the right to enter its folder"
        raise ConfigError(f"{path}: cannot be looked at: {reason}") from None
