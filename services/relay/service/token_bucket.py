"""A token bucket, for rate limits. Pure: times are arguments, seconds of one clock."""


class TokenBucket:
    """Begins with `most` tokens (at least one) and is refilled at `per_s` up to that number. `take` may take
    more tokens than there are: the level becomes negative, and is refilled first."""

    __slots__ = ("_at_s", "_level", "_per_s", "most")

    def __init__(self, per_s: float, most: float, now_s: float) -> None:
        self._per_s = per_s
        self.most = self._level = max(1.0, most)
        self._at_s = now_s

    def level(self, now_s: float) -> float:
        level = self._level + max(0.0, now_s - self._at_s) * self._per_s
        self._level = level if level < self.most else self.most
        self._at_s = now_s
        return self._level

    def take(self, count: float) -> None:
        """Takes tokens out, or puts them back if `count` is negative."""
        self._level -= count

    def admits(self, now_s: float) -> bool:
        """Takes one token out. False: there is none."""
        if self.level(now_s) < 1:
            return False
        self.take(1)
        return True

    def wait_s(self, count: float) -> float:
        """Time from the last call of `level` until there are `count` tokens; 0: at once."""
        return max(0.0, (count - self._level) / self._per_s)
