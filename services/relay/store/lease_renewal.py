"""What one renewal of the lease of an instance finds. Pure."""

from typing import NamedTuple


class LeaseRenewal(NamedTuple):
    """The reply of renew.lua."""

    mine: bool
    newest: bool = False  # our socket identified last, by Redis' notes: Takaro asks it (protocol.md T3)
    open_identifies: str = ""  # tokens of other uplinks whose identify has no answer yet: any may be last
    record: str = ""  # the holder and its last renewal; "": the lease is free
    wanted: str = ""  # what an uplink that stands by last wrote: "waiting" or "ready"
    watched: str = ""  # changes with each new watcher (instances/activity.py); "": nobody watches
    now_ms: int = 0  # on Redis' clock
    batches: int = 0  # number of batches that wait for uplink, and of results
    results: int = 0
    contact_ms: int = 0  # when the mod last called; 0: never
    ttl_ms: int = 0  # time until the lease ends if nobody renews it
