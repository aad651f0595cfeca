"""Which requests came over one socket: an error frame under one of their ids is about our answer. Pure."""

import sys
from array import array

KEPT = 512
"""Number of requests that are remembered: those of the last 10 s, which Takaro gives to each answer, even
when 200 players are online. It refuses an answer as soon as it has it."""

_NAME_CHARS = 50


class RecentRequests:
    """The last KEPT requests of one socket. Ids are kept as hashes: 1,000 sockets with 512 texts each would
    hold 50 MB."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._actions: list[str] = []
        self._count = 0

    def add(self, request_id: str, action: str) -> None:
        """Remember a request. The oldest one is forgotten."""
        name = sys.intern(action[:_NAME_CHARS])
        if self._count < KEPT:
            self._ids.append(hash(request_id))
            self._actions.append(name)
        else:
            place = self._count % KEPT
            self._ids[place], self._actions[place] = hash(request_id), name
        self._count += 1

    def action_of(self, request_id: str) -> str | None:
        """The action of the request with this id, None if no request had it."""
        try:
            return self._actions[self._ids.index(hash(request_id))]
        except ValueError:
            return None
