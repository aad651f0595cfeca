"""The state of an instance is the first thing that keeps it from being up."""

from dataclasses import replace

import pytest

from services.relay.instances.facts import Facts, ServerCause, server_cause
from tests.support.facts import NOW_MS, UP


@pytest.mark.parametrize(
    ("facts", "has_token", "stands"),
    [
        (UP, True, ServerCause.UP),
        (UP, False, ServerCause.NO_TOKEN),
        (replace(UP, uplink=""), True, ServerCause.NO_OWNER),
        (replace(UP, contact_ms=None), True, ServerCause.NEVER_CALLED),
        (replace(UP, contact_ms=NOW_MS - 61_000), True, ServerCause.SILENT),
        (replace(UP, link="connecting"), True, ServerCause.NOT_LINKED),
        (replace(UP, uplink="", contact_ms=None, link=""), False, ServerCause.NO_TOKEN),
    ],
)
def test_the_first_state_that_is_true_counts(facts: Facts, has_token: bool, stands: ServerCause) -> None:
    assert server_cause(facts, has_token=has_token) is stands
