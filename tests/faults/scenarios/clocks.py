"""F55: the wall clocks of the hosts of Redis and uplink are set by days."""

import itertools
from collections.abc import Sequence
from enum import Enum

from tests.faults.inject.clock import WrongClock
from tests.faults.registry import scenario
from tests.faults.shape import Shape
from tests.faults.world import Run, World
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, binaries

STEP_S = 8 * 86_400.0
"""Longer than the maximum age of any event."""

SAID = "Redis' clock was set"


class Host(Enum):
    """The host whose clock is set."""

    REDIS = "Redis"
    UPLINK = "uplink"
    BOTH = "the one host of both"


class When(Enum):
    """The situation in which it is set."""

    LIVE = "live"
    RESTART = "while uplink is down"
    OUTAGE = "while Takaro is away"


PLAN = [
    (Host.REDIS, When.RESTART),
    (Host.REDIS, When.OUTAGE),
    (Host.BOTH, When.RESTART),
    (Host.REDIS, When.LIVE),
    (Host.BOTH, When.OUTAGE),
    (Host.UPLINK, When.RESTART),
    (Host.UPLINK, When.LIVE),
    (Host.BOTH, When.LIVE),
    (Host.UPLINK, When.OUTAGE),
]


class Clocked(World):
    """A world whose uplink has its own wall clock."""

    def __init__(self, run: Run, shape: Shape, store: RedisServer, clocks: dict[Host, WrongClock]) -> None:
        super().__init__(run, shape, store)
        self._clocks = clocks
        self._ahead_s = dict.fromkeys(clocks, 0.0)
        self._signs = itertools.cycle((1, -1))
        self.steps_of_redis = 0

    def prefix_of(self, label: str) -> Sequence[str]:
        return self._clocks[Host.UPLINK].prefix if label.startswith("uplink") else ()

    def set_clock(self, host: Host) -> None:
        """Sets the clock by 8 days forward or back, or corrects it."""
        hosts = list(self._clocks) if host is Host.BOTH else [host]
        ahead_s = 0.0 if self._ahead_s[hosts[0]] else STEP_S * next(self._signs)
        for one in hosts:
            self.steps_of_redis += one is Host.REDIS and self._ahead_s[one] != ahead_s
            self._ahead_s[one] = ahead_s
            self._clocks[one].move(ahead_s)

    async def step(self, host: Host, when: When) -> None:
        [uplink], [takaro] = self.uplinks, self.takaro_of.values()
        fault = self.fault(f"the clock of {host.value} is set {when.value}")
        match when:
            case When.LIVE:
                self.set_clock(host)
                await self.run.pause(1.5, 2.5)
            case When.RESTART:
                await self.kill(uplink)
                await self.run.pause(0.5, 1.0)
                self.set_clock(host)
                await self.run.pause(0.5, 1.0)
                await uplink.start()
            case When.OUTAGE:
                takaro.passing.clear()
                await self.run.pause(0.5, 2.0)
                self.set_clock(host)
                await self.run.pause(1.5, 2.5)
                takaro.passing.set()
        self.healed(fault)
        await self.recovered(fault)


@scenario(
    "F55",
    "the wall clock of Redis, of uplink or of both is set by 8 days, forward and back: live, while uplink is"
    " down, while Takaro is away",
    cycles=27,
    short=1,
    recovery_s=20.0,
)
async def clocks_are_set(run: Run) -> None:
    clocks: dict[Host, WrongClock] = {}
    try:
        for host in (Host.REDIS, Host.UPLINK):
            clocks[host] = WrongClock()
        store = RedisServer(binaries()["redis"], prefix=clocks[Host.REDIS].prefix, port=str(free_port()))
        shape = Shape(instances=3, rate=20.0, takaro_proxied=True)
        async with run.within(Clocked(run, shape, store, clocks)) as world:
            for cycle in range(run.cycles):
                await world.step(*PLAN[cycle % len(PLAN)])
            said = sum(uplink.log.count(SAID) for uplink in world.uplinks)
            run.note("steps of Redis", world.steps_of_redis)
            run.must(
                said == world.steps_of_redis,
                f"each of {world.steps_of_redis} steps is logged once; there were {said} lines",
            )
    finally:
        for clock in clocks.values():
            clock.remove()
