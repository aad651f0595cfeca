"""JSON that is kept in memory."""

from typing import Any

import orjson


def kept_json(value: Any) -> bytes:
    """The JSON of a value, in no more memory than it needs: what orjson returns takes 4 KB or more, a copy
    does not."""
    return bytes(memoryview(orjson.dumps(value)))
