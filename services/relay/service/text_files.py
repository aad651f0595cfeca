"""Reads files that people write with any editor. The errors say what to do about a file without text."""

import codecs
import os
import sys
from pathlib import Path

from services.relay.protocol.errors import ConfigError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError, and ValueError with what is wrong and the fix."""
    return decoded(path.read_bytes())


def decoded(data: bytes) -> str:
    """Text from the bytes of a file: UTF-8, or what Notepad and PowerShell write. Raises ValueError."""
    encoding, length = encoding_of(data)
    try:
        return data[length:].decode(encoding)
    except UnicodeDecodeError:
        name = encoding.removesuffix("-le").removesuffix("-be").upper()
        raise ValueError(f"it is not {name} text: save it as UTF-8 in your editor") from None


def encoding_of(data: bytes) -> tuple[str, int]:
    """The encoding, and the length of its byte order mark. Without a mark, zeros show that it is UTF-16."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, len(mark)
    zeros = data[:400:2].count(0), data[1:400:2].count(0)
    if max(zeros) > 4 * min(zeros) and max(zeros) > len(data[:400]) / 8:
        return ("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"), 0
    return "utf-8", 0


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


def is_folder(path: Path) -> bool:
    """Whether there is such a folder. Raises ConfigError if that cannot be found out."""
    return is_there(path) and path.is_dir()


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
