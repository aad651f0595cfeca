"""Takes secrets out of text that is about to be shown. Pure, except that it remembers what to hide.

It does so in two ways, because each of them misses some: it hides known secrets wherever they stand, and
whatever stands in places where secrets usually are.
"""

import re
from collections.abc import Iterable
from os.path import commonprefix
from urllib.parse import quote

MASK = "***"

SHORTEST = 8  # a shorter secret may be an ordinary word: hiding it would make the log unreadable

CUT = 16
"""The beginning of a secret is hidden from this length on: a peer's text may have been cut in the middle."""

_SECRET = r"(?:token|key|password|secret)s?"
_SHAPES = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"(://[^\s/:@]*:)[^\s\"']+@", rf"\1{MASK}@"),
        (r"(/k/)(?!<)[^\s/?#\"']+", rf"\1{MASK}"),  # <mod key> is for a person to fill in
        (r"\b(bearer +)[^\s\"',]{8,}", rf"\1{MASK}"),
        (r"(authorization[\"']?[:=, ]+(?:b?[\"'])?(?:bearer +|basic +)?)[^\s\"']+", rf"\1{MASK}"),
        (rf"({_SECRET}=)[^\s&;,\"']+", rf"\1{MASK}"),
        (rf"({_SECRET}[\"']? *[:=] *\[?b?(?P<quote>[\"']))(?:(?!(?P=quote)).)+", rf"\1{MASK}"),
    )
)


class Redaction:
    """The secrets to hide, in sets by the name of their source."""

    def __init__(self) -> None:
        self._sets: dict[str, frozenset[str]] = {}
        self._by_head: dict[str, list[str]] = {}

    def hide(self, source: str, secrets: Iterable[str]) -> None:
        """Hides these secrets from now on, in place of those that this source gave before."""
        spellings = frozenset(
            spelt
            for secret in secrets
            if len(secret) >= SHORTEST  # as it is, as in a URL, and as inside quotes
            for spelt in (secret, quote(secret, safe="", errors="replace"), repr(secret)[1:-1])
        )
        if self._sets.get(source) == spellings:
            return
        self._sets[source] = spellings
        by_head: dict[str, list[str]] = {}
        for spelt in sorted(frozenset[str]().union(*self._sets.values()), key=len, reverse=True):
            by_head.setdefault(spelt[:SHORTEST], []).append(spelt)
        self._by_head = by_head

    def clean(self, text: str) -> str:
        """The text without secrets. Its cost does not grow with the number of secrets."""
        out: list[str] = []
        at = kept = 0
        while at <= len(text) - SHORTEST:
            length = self._found(text, at)
            if length:
                out += (text[kept:at], MASK)
                at = kept = at + length
            else:
                at += 1
        text = "".join([*out, text[kept:]])
        for shape, replacement in _SHAPES:
            text = shape.sub(replacement, text)
        return text

    def _found(self, text: str, at: int) -> int:
        """The length of the secret that starts here, or of the part of it that is there; 0: there is none."""
        longest = 0
        for secret in self._by_head.get(text[at : at + SHORTEST], ()):
            common = len(commonprefix((text[at : at + len(secret)], secret)))
            if common > longest and (common == len(secret) or common >= CUT):
                longest = common
        return longest
