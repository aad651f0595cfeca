"""How an instance stands, in one word for the whole fleet: what keeps it from being up. Pure."""

from enum import StrEnum, unique

from services.relay.instances.facts import Facts
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import SILENT_AFTER_S


@unique
class ServerState(StrEnum):
    """The first that is true. A label of a metric: the set is fixed."""

    NO_TOKEN = "no_token"  # no registration token: nothing reaches Takaro
    NO_OWNER = "no_owner"  # no uplink has it
    NEVER_CALLED = "never_called"  # its mod was never heard of
    SILENT = "silent"
    NOT_LINKED = "not_linked"
    UP = "up"


def server_state(facts: Facts, *, has_token: bool) -> ServerState:
    """From what Redis has of an instance."""
    if not has_token:
        return ServerState.NO_TOKEN
    if not facts.uplink:
        return ServerState.NO_OWNER
    if facts.silent_s is None:
        return ServerState.NEVER_CALLED
    if facts.silent_s > SILENT_AFTER_S:
        return ServerState.SILENT
    return ServerState.UP if facts.link == LinkState.READY else ServerState.NOT_LINKED
