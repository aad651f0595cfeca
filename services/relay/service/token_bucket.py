"""So many a second, and no more: a bucket that fills. Pure: times are arguments, seconds of one clock."""


class TokenBucket:
    """Holds up to `most`, one at the least, and begins full; refilled at `per_s`.

    More can be taken than there is: it is owed, and refilled first.
    """

    __slots__ = ("_at_s", "_level", "_per_s", "most")

    def __init__(self, per_s: float, most: float, now_s: float) -> None:
        self._per_s = per_s
        self.most = self._level = max(1.0, most)
        self._at_s = now_s

    def level(self, now_s: float) -> float:
        """How much is in it."""
        level = self._level + max(0.0, now_s - self._at_s) * self._per_s
        self._level = level if level < self.most else self.most
        self._at_s = now_s
        return self._level

    def take(self, count: float) -> None:
        """Takes so much out, or with a negative number puts it back."""
        self._level -= count

    def admits(self, now_s: float) -> bool:
        """May one more pass? Then it is taken out."""
        if self.level(now_s) < 1:
            return False
        self.take(1)
        return True

    def wait_s(self, count: float) -> float:
        """How long after the last look at its level there is so much in it; 0: at once."""
        return max(0.0, (count - self._level) / self._per_s)
