"""How an instance stands: the first thing that keeps it from being up."""

from dataclasses import replace

import pytest

from services.relay.instances.facts import Facts
from services.uplink.standing import Standing, standing

NOW_MS = 1_700_000_000_000
UP = Facts(
    now_ms=NOW_MS,
    uplink="host-1",
    link="ready",
    game_server_id="id",
    link_why="",
    contact_ms=NOW_MS - 2_000,
    events=0,
    events_bytes=0,
    oldest_ms=None,
    commands=0,
    dead=0,
    players=0,
    mod_version="",
    hold_ms=None,
)


@pytest.mark.parametrize(
    ("facts", "has_token", "stands"),
    [
        (UP, True, Standing.UP),
        (UP, False, Standing.NO_TOKEN),
        (replace(UP, uplink=""), True, Standing.NO_OWNER),
        (replace(UP, contact_ms=None), True, Standing.NEVER_CALLED),
        (replace(UP, contact_ms=NOW_MS - 61_000), True, Standing.SILENT),
        (replace(UP, link="connecting"), True, Standing.NOT_LINKED),
        (replace(UP, uplink="", contact_ms=None, link=""), False, Standing.NO_TOKEN),
    ],
)
def test_the_first_thing_that_is_true_counts(facts: Facts, has_token: bool, stands: Standing) -> None:
    assert standing(facts, has_token=has_token) is stands
