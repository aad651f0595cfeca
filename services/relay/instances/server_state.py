"""The state of an instance in one word: up, or the first thing that keeps it from being up. Pure."""

from enum import StrEnum, unique

from services.relay.instances.facts import Facts
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import SILENT_AFTER_S


@unique
class ServerState(StrEnum):
    """The first one that is true counts. It labels a metric, so the set is fixed."""

    NO_TOKEN = "no_token"  # no registration token: nothing reaches Takaro
    NO_OWNER = "no_owner"  # no uplink owns it
    NEVER_CALLED = "never_called"  # its mod has never called
    SILENT = "silent"
    NOT_LINKED = "not_linked"
    UP = "up"


def server_state(facts: Facts, *, has_token: bool) -> ServerState:
    """The state of an instance with these facts."""
    if not has_token:
        return ServerState.NO_TOKEN
    if not facts.uplink:
        return ServerState.NO_OWNER
    if facts.silent_s is None:
        return ServerState.NEVER_CALLED
    if facts.silent_s > SILENT_AFTER_S:
        return ServerState.SILENT
    return ServerState.UP if facts.link == LinkState.READY else ServerState.NOT_LINKED
