"""Saves how far each log was sent: a restarted agent goes on there. The file is never half written."""

import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from services.agent.files import FileId, Head, LogPosition

OLD_HEAD_BYTES = 256  # in its first form the file has a hash of this much of each log's beginning

logger = logging.getLogger(__name__)


def load(path: Path) -> list[LogPosition] | None:
    """The positions of the logs; None if the file is missing or cannot be read."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        files = stored.get("files")
        return _old_form(stored) if files is None else [_position(file) for file in files]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        logger.warning("%s cannot be used, only what is new from now on is sent: %s", path, error)
        return None


def save(path: Path, positions: Iterable[LogPosition]) -> None:
    """Raises OSError. Then the file is unchanged."""
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8") as file:
        json.dump({"files": [position._asdict() for position in positions]}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _position(file: dict[str, Any]) -> LogPosition:
    device_and_inode, (length, crc) = file["file_id"], file["head"]
    file_id = FileId(*map(int, device_and_inode)) if device_and_inode else None
    return LogPosition(str(file["name"]), file_id, int(file["offset"]), Head(int(length), int(crc)))


def _old_form(stored: dict[str, Any]) -> list[LogPosition]:
    """The first form: names with offset and head, without the files' numbers."""
    return [
        LogPosition(str(name), None, int(offset), Head(min(int(offset), OLD_HEAD_BYTES), int(head)))
        for name, (offset, head) in stored.items()
    ]
