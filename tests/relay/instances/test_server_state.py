"""The state of an instance is the first thing that keeps it from being up."""

from dataclasses import replace

import pytest

from services.relay.instances.facts import Facts, ServerState, server_state
from tests.support.facts import NOW_MS, UP


@pytest.mark.parametrize(
    ("facts", "has_token", "stands"),
    [
        (UP, True, ServerState.UP),
        (UP, False, ServerState.NO_TOKEN),
        (replace(UP, uplink=""), True, ServerState.NO_OWNER),
        (replace(UP, contact_ms=None), True, ServerState.NEVER_CALLED),
        (replace(UP, contact_ms=NOW_MS - 61_000), True, ServerState.SILENT),
        (replace(UP, link="connecting"), True, ServerState.NOT_LINKED),
        (replace(UP, uplink="", contact_ms=None, link=""), False, ServerState.NO_TOKEN),
    ],
)
def test_the_first_state_that_is_true_counts(facts: Facts, has_token: bool, stands: ServerState) -> None:
    assert server_state(facts, has_token=has_token) is stands
