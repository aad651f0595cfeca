"""What the agent remembers over a restart: how far each log has come. A small file, never half written."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from services.agent.files import Position

logger = logging.getLogger(__name__)


def load(path: Path) -> dict[str, Position] | None:
    """The positions by the names of the logs; None if there is no such file, or none that can be read."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): Position(int(offset), int(head)) for name, (offset, head) in stored.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s cannot be used, only what is new from now on is sent: %s", path, error)
        return None


def save(path: Path, positions: Mapping[str, Position]) -> None:
    """Raises OSError; then the file is as it was."""
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8") as file:
        json.dump(positions, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
