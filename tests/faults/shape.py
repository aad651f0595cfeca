"""The parts of a world, and the outcome of a scenario. Plain values."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """The parts of a world. Rates are per second and instance.

    `proxied`: each service reaches Redis through a proxy of its own, `world.redis_of[label]`.
    `takaro_proxied`: the same towards Takaro, `world.takaro_of[label]`. `sabotage`: runs the services by way
    of tests.faults.sabotage with that name. `redis_toml`, `modapi_toml`, `uplink_toml`: more lines for these
    tables of relay.toml. `mod_waits_s`: how long a mod waits for an answer. `server`, `takaro`: more settings
    of the Redis server and of the simulated Takaro.
    """

    instances: int = 4
    modapis: int = 1
    uplinks: int = 1
    rate: float = 10.0
    writes: float = 0.5
    flush_s: float = 0.1
    poll_s: float = 0.2
    mod_waits_s: float = 10.0
    binary: str = "valkey"
    proxied: bool = False
    takaro_proxied: bool = False
    sabotage: str = ""
    redis_toml: str = ""
    modapi_toml: str = ""
    uplink_toml: str = ""
    server: dict[str, str] = field(default_factory=dict)
    takaro: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """The outcome of a scenario."""

    accepted: int = 0
    lost: int = 0
    repeated: int = 0
    repeated_per_fault: int = 0
    disordered: int = 0
    writes: int = 0
    executed: int = 0
    double_writes: int = 0
    recoveries: list[float] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    servers: set[str] = field(default_factory=set)
    seconds: float = 0.0
    skipped: str = ""
