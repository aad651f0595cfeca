"""JSON that is kept in memory."""

from typing import Any

import orjson


def kept_json(value: Any) -> bytes:
    """The JSON of a value. What orjson returns takes 4 KB or more, however short it is; a copy does not."""
    return bytes(memoryview(orjson.dumps(value)))
