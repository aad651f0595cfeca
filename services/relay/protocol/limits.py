"""All limits that an operator can set.

No honest mod reaches the defaults. services/ARCHITECTURE.md says what happens beyond each limit.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

KIB = 1024
MIB = 1024 * 1024

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Bytes = Annotated[int, Field(ge=KIB, le=256 * MIB)]
PerSecond = Annotated[float, Field(ge=0.1, le=1_000_000)]


class FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Limits(FrozenModel):
    """The section [limits] of relay.toml: a field for each setting. Units are in the names."""

    # Of one listener.
    connections: Count = 10_000
    connections_per_address: Count = 2_000
    header_bytes: Bytes = 16 * KIB
    receive_within_s: Annotated[float, Field(ge=1, le=60)] = 10.0

    # Of what a mod posts.
    body_bytes: Bytes = MIB
    result_bytes: Bytes = 16 * MIB
    batch_events: Count = 1_000
    event_bytes: Bytes = 64 * KIB
    event_levels: Annotated[int, Field(ge=4, le=250)] = 32
    text_chars: Annotated[int, Field(ge=200, le=100_000)] = 4_096

    # Of the calls of one instance.
    requests_per_s: PerSecond = 100.0
    events_per_s: PerSecond = 500.0

    # Of callers without a right key.
    wrong_keys_per_minute: Count = 60

    # Of what is kept for one instance, and of Takaro's frames.
    open_commands: Count = 2_000
    mirror_players: Count = 2_000
    inventory_bytes: Bytes = 64 * KIB
    catalogue_bytes: Annotated[int, Field(ge=KIB, le=7 * MIB)] = 6 * MIB
    frame_in_bytes: Bytes = 4 * MIB
    frame_out_bytes: Annotated[int, Field(ge=KIB, le=7 * MIB)] = 7 * MIB


DEFAULT_LIMITS = Limits()

LIMIT_LABELS = (*Limits.model_fields, "not_http", "pipelined_requests")
"""The label by which metrics name an exceeded limit: its setting. The last two have none."""
