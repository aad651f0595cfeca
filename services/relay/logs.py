"""Log lines for people: one event a line, the instance named, nothing a player wrote able to break out."""

import logging
import sys
from typing import Any


class _OneLine(logging.Formatter):
    """Escapes what would move the cursor: names and chat are hostile input."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if record.exc_info or line.isprintable():
            return line
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)


class InstanceLogger(logging.LoggerAdapter[logging.Logger]):
    """Puts the slug of the instance in front of each line."""

    def __init__(self, logger: logging.Logger, slug: str) -> None:
        super().__init__(logger, {"slug": slug})
        self._slug = slug

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return f"[{self._slug}] {msg}", kwargs


def configure(service: str) -> None:
    """Sends the log of this process to standard error, marked with the name of the service."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(f"%(asctime)s {service:<6} %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # These speak of single connections; what matters of them is logged by us, with the instance.
    for name in ("uvicorn", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
