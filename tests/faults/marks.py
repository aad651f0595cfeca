"""The mark in the text of each event and command: "ev <instance> <n> <lane> <filler> <hash>".

Every part of the relay must pass this text on unchanged. The hash is that of the text before it.
"""

import hashlib
import random
import re
from dataclasses import dataclass

_FILLER = "abcdefghijklmnopqrstuvwxyz0123456789 äöüßжщ漢字"
_MARK = re.compile(r"(ev|cmd) ([a-z0-9-]+) (\d+) (\w+) <([^>]*)> ([0-9a-f]{12})")


@dataclass(frozen=True, slots=True)
class Mark:
    """Events keep their order within a `lane`: a player's gameId, or "line" for lines without a player."""

    kind: str
    instance: str
    number: int
    lane: str
    intact: bool


def write(kind: str, instance: str, number: int, lane: str, chance: random.Random) -> str:
    filler = "".join(chance.choices(_FILLER, k=chance.randrange(5, 60)))
    text = f"{kind} {instance} {number} {lane} <{filler}>"
    return f"{text} {_hash(text)}"


def read(text: str) -> Mark | None:
    """The mark in `text`; None if it has none, as the keep-alive of the relay."""
    found = _MARK.search(text)
    return found and _mark(found)


def read_all(text: str) -> list[Mark]:
    return [_mark(found) for found in _MARK.finditer(text)]


def _mark(found: re.Match[str]) -> Mark:
    kind, instance, number, lane, _, digest = found.groups()
    text = found[0].rpartition(" ")[0]
    return Mark(kind, instance, int(number), lane, _hash(text) == digest)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
