"""How an instance stands, in one word for the whole fleet: what keeps it from being up. Pure."""

from enum import StrEnum, unique

from services.relay.instances.facts import Facts
from services.relay.link_state import State
from services.relay.vocabulary import SILENT_AFTER_S


@unique
class Standing(StrEnum):
    """The first that is true. A label of a metric: the set is fixed."""

    NO_TOKEN = "no_token"  # no registration token: nothing reaches Takaro
    NO_OWNER = "no_owner"  # no uplink has it
    NEVER_CALLED = "never_called"  # its mod was never heard of
    SILENT = "silent"
    NOT_LINKED = "not_linked"
    UP = "up"


def standing(facts: Facts, *, has_token: bool) -> Standing:
    """From what Redis has of an instance."""
    if not has_token:
        return Standing.NO_TOKEN
    if not facts.uplink:
        return Standing.NO_OWNER
    if facts.silent_s is None:
        return Standing.NEVER_CALLED
    if facts.silent_s > SILENT_AFTER_S:
        return Standing.SILENT
    return Standing.UP if facts.link == State.READY else Standing.NOT_LINKED
