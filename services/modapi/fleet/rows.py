"""One server with all that is known of it, and its state in a word. Pure."""

from collections.abc import Sequence
from enum import StrEnum, unique
from typing import NamedTuple

from services.relay.instances.definitions import DefinedInstance
from services.relay.instances.diagnosis import Problem
from services.relay.instances.facts import Facts, ServerCause, server_cause


@unique
class State(StrEnum):
    """How a server is, the worst first: `down` needs somebody, `attention` can wait, `disabled` is meant."""

    DOWN = "down"
    ATTENTION = "attention"
    UP = "up"
    DISABLED = "disabled"


class ServerRow(NamedTuple):
    """One server with all that is known of it. The worst of its `problems` is the first."""

    definition: DefinedInstance
    facts: Facts
    problems: list[Problem]
    state: State

    @property
    def cause(self) -> ServerCause:
        if not self.definition.active:
            return ServerCause.DISABLED if self.definition.disabled else ServerCause.NOT_SERVED
        has_token = self.definition.instance.registration_token is not None
        return server_cause(self.facts, has_token=has_token)

    @property
    def there_ms(self) -> int:
        """A time (ms) at which the server was there already, the earliest that is known; 0: none is."""
        return min(filter(None, (self.definition.added_ms, self.facts.contact_ms)), default=0)

    @property
    def slug(self) -> str:
        return self.definition.instance.slug


def state_of(disabled: bool, problems: Sequence[Problem]) -> State:
    """The state of a server with these problems."""
    if disabled:
        return State.DISABLED
    if not problems:
        return State.UP
    return State.DOWN if any(problem.serious for problem in problems) else State.ATTENTION
