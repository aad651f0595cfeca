"""Calls with a key that opens nothing, remembered for a while: who looks for a silent mod hears of them."""

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from services.relay.instances.facts import Facts
from services.relay.store.client import Store, pairs

KEPT_S = 600
KEPT = 100
NOTED_EVERY_S = 5.0
NOTED_APART_S = 0.05
"""How often one address is noted, and at most any: a stranger with many addresses costs no more than that."""

LATER_MS = 10_000
"""So long after the last right call of a mod, which is noted each 5 s, a wrong one may be its own."""

_KEY = "relay:strangers"


class UnknownKeyCall(NamedTuple):
    """The last call with a wrong key from an address.

    `at_ms` is of the wall clock of the modapi that heard it. `slug` is the server that the call was meant
    for, as far as what it presented says that, else "".
    """

    at_ms: int
    address: str
    slug: str = ""


class UnknownKeyCalls:
    """Where the last calls with a wrong key came from."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted_s: dict[str, float] = {}
        self._last_s = -NOTED_APART_S

    def note(self, address: str, slug: str = "") -> None:
        """One was refused. No harm is done if that is lost."""
        now_s, member = time.monotonic(), f"{slug} {address}"
        if now_s - self._last_s < NOTED_APART_S:
            return
        if now_s - self._noted_s.get(member, -NOTED_EVERY_S) < NOTED_EVERY_S:
            return
        if len(self._noted_s) >= KEPT:
            self._noted_s.clear()
        self._noted_s[member] = self._last_s = now_s
        self._store.tell("ZADD", _KEY, round(time.time() * 1000), member)
        self._store.tell("ZREMRANGEBYRANK", _KEY, 0, -KEPT - 1)
        self._store.tell("EXPIRE", _KEY, KEPT_S)

    async def all(self) -> list[UnknownKeyCall]:
        """Those within KEPT_S, the last one first. Raises StoreError."""
        since_ms = round((time.time() - KEPT_S) * 1000)
        found = await self._store.send("ZREVRANGEBYSCORE", _KEY, "+inf", since_ms, "WITHSCORES")
        unknown_calls = []
        for member, at_ms in pairs(found):
            slug, _, address = member.decode().partition(" ")
            unknown_calls.append(UnknownKeyCall(int(float(at_ms)), address, slug))
        return unknown_calls


def attributed(
    unknown_calls: Iterable[UnknownKeyCall], facts: Mapping[str, Facts], added_ms: Mapping[str, int]
) -> tuple[dict[str, UnknownKeyCall], list[UnknownKeyCall]]:
    """Whose calls they are, and those that nobody can tell. Pure.

    A server is named by what the call presented, or as the only one that is missed and was last heard of at
    that address. What came before the last right call of a server, or before that was added, is not about it.
    """
    named: dict[str, UnknownKeyCall] = {}
    unknown: list[UnknownKeyCall] = []
    for unknown_call in unknown_calls:
        missed = [
            slug
            for slug, known in facts.items()
            if unknown_call.at_ms - (known.contact_ms or 0) > LATER_MS
            and unknown_call.at_ms >= added_ms[slug]
            and (slug == unknown_call.slug if unknown_call.slug else known.address == unknown_call.address)
        ]
        if len(missed) == 1:
            named.setdefault(missed[0], unknown_call)
        elif not unknown_call.slug and not _is_over(unknown_call, facts.values()):
            unknown.append(unknown_call)
    return named, unknown


def _is_over(unknown_call: UnknownKeyCall, facts: Iterable[Facts]) -> bool:
    """Has a mod called rightly from there since, and nobody wrongly?"""
    return any(
        known.address == unknown_call.address and (known.contact_ms or 0) - unknown_call.at_ms > LATER_MS
        for known in facts
    )
