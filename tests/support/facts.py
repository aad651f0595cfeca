"""The facts of an instance without problems. Tests change the fields that they are about."""

from services.relay.instances.facts import Facts

NOW_MS = 1_800_000_000_000
UP = Facts(
    now_ms=NOW_MS,
    uplink="host-1",
    link="ready",
    game_server_id="id",
    link_why="",
    contact_ms=NOW_MS - 3_000,
    events=0,
    events_bytes=0,
    oldest_ms=None,
    commands=0,
    dead=0,
    players=3,
    mod_version="1",
    hold_ms=None,
)
