"""What is said of callers in the log: mods repeat themselves each second, and strangers have many addresses.
Pure: times are arguments, seconds of one clock.
"""

from collections import OrderedDict

from services.modapi.http.rate_limits import MAX_SOURCES
from services.relay.service.token_bucket import TokenBucket

AGAIN_AFTER_S = 60.0
LINES_A_MINUTE = 30
"""Of each kind of line, whoever calls."""


class CallerLog:
    """Each kind of line once a minute for each source, and of each kind so many a minute in all."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._lines: dict[str, TokenBucket] = {}
        self._left_out: dict[str, int] = {}

    def again(self, kind: str, source: str, now_s: float) -> int | None:
        """None: not now. Else how many sources were left out since the last line of this kind."""
        key = kind, source
        if now_s - self._said.get(key, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return None
        self._said[key] = now_s
        self._said.move_to_end(key)
        if len(self._said) > MAX_SOURCES:
            self._said.popitem(last=False)
        if kind not in self._lines:
            self._lines[kind] = TokenBucket(LINES_A_MINUTE / 60, LINES_A_MINUTE, now_s)
        if not self._lines[kind].admits(now_s):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        return self._left_out.pop(kind, 0)

    def __len__(self) -> int:
        return len(self._said)
