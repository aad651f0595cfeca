"""What may come, and how much of it: every limit that an operator can set, in one place.

The defaults are what no honest mod reaches. What happens beyond each is in services/ARCHITECTURE.md.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MODAPI_LIMITS = (
    *("connections", "connections_per_address", "header_bytes", "receive_within_s", "not_http"),
    *("body_bytes", "result_bytes", "batch_events", "event_bytes", "event_levels", "text_chars"),
    *("requests_per_s", "events_per_s", "wrong_keys_per_minute"),
)
UPLINK_LIMITS = (
    *("open_commands", "mirror_players", "inventory_bytes", "catalogue_bytes"),
    *("frame_in_bytes", "frame_out_bytes"),
)
"""How metrics name what was beyond a limit: by its setting. `not_http` has none."""

KIB = 1024
MIB = 1024 * 1024

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Bytes = Annotated[int, Field(ge=KIB, le=256 * MIB)]
PerSecond = Annotated[float, Field(ge=0.1, le=1_000_000)]


class Limits(BaseModel):
    """The section [limits] of relay.toml. Bytes, seconds and characters are meant as they are named."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    # A listener.
    connections: Count = 10_000
    connections_per_address: Count = 2_000
    header_bytes: Bytes = 16 * KIB
    receive_within_s: Annotated[float, Field(ge=1, le=60)] = 10.0

    # What a mod posts.
    body_bytes: Bytes = MIB
    result_bytes: Bytes = 16 * MIB
    batch_events: Count = 1_000
    event_bytes: Bytes = 64 * KIB
    event_levels: Annotated[int, Field(ge=4, le=250)] = 32
    text_chars: Annotated[int, Field(ge=200, le=100_000)] = 4_096

    # What one instance may ask for.
    requests_per_s: PerSecond = 100.0
    events_per_s: PerSecond = 500.0

    # Whoever has no key.
    wrong_keys_per_minute: Count = 60

    # What one instance may hold, and what goes to Takaro and comes from it.
    open_commands: Count = 2_000
    mirror_players: Count = 2_000
    inventory_bytes: Bytes = 64 * KIB
    catalogue_bytes: Annotated[int, Field(ge=KIB, le=7 * MIB)] = 6 * MIB
    frame_in_bytes: Bytes = 4 * MIB
    frame_out_bytes: Annotated[int, Field(ge=KIB, le=7 * MIB)] = 7 * MIB


DEFAULT_LIMITS = Limits()
