"""One instance, a simulated Takaro and uplinks, for the tests of links and requests."""

import asyncio
import time
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.relay.instances.facts import InstanceData, facts_of
from services.relay.protocol.records import Command, GameEvent
from services.relay.protocol.vocabulary import Action
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream
from services.relay.store.leases import Lease
from services.relay.store.repeats import digest
from services.relay.store.stream_entries import EventBatch, PostedEvent
from services.uplink.connection.closing_times import closing_times
from services.uplink.connection.link_times import LINK_TIMES, LinkTimes
from services.uplink.context import UplinkContext
from services.uplink.ownership.owned_instance import OwnedInstance
from services.uplink.reporting.metrics import UplinkMetrics
from services.uplink.requests.mod_contact import ModContact
from tests.support.faulty_takaro import FaultyTakaro
from tests.support.waiting import until

TOKEN = "the-registration-token"
RENEW_EVERY_S = 0.1


def line(number: int) -> GameEvent:
    return {"type": "log", "data": {"msg": f"line {number}"}}


class LinkedUplink:
    """One uplink of the instance. It holds the lease between `take` and `hand_over`."""

    def __init__(
        self, instance: Instance, takaro_url: str, store: Store, name: str, times: LinkTimes
    ) -> None:
        self.registry = CollectorRegistry()
        self.lease = Lease(store, instance.slug, name)
        self.turns = 0
        self.owned = OwnedInstance(
            instance,
            UplinkContext(takaro_url, store, UplinkMetrics(self.registry), self._turn, 50.0, times=times),
            self.lease,
            ModContact(0.0),
        )
        self.running = asyncio.create_task(self.owned.run())
        self._renewing: asyncio.Task[None] | None = None

    async def _turn(self) -> None:
        self.turns += 1

    async def take(self) -> None:
        self._renewing = asyncio.create_task(self._renew())
        await self.lease.until_held()

    async def _renew(self) -> None:
        while True:
            renewal = await self.lease.renew()
            self.owned.renewed(renewal)
            await self.owned.status.publish()
            await asyncio.sleep(RENEW_EVERY_S)

    async def hand_over(self) -> None:
        await self.owned.drain()
        await self.stop_renewing()
        await self.lease.release()

    async def leave(
        self,
        within_s: float,
        *,
        mod_polls: bool = True,
        has_successor: bool = True,
        elsewhere: asyncio.Event | None = None,
    ) -> None:
        now_s = time.monotonic()
        how = closing_times(now_s, now_s + within_s, mod_polls=mod_polls, has_successor=has_successor)
        await self.owned.leave(how, elsewhere)

    async def stop_renewing(self) -> None:
        if self._renewing:
            await cancelled(self._renewing)

    async def end(self) -> None:
        await self.stop_renewing()
        await cancelled(self.running)

    def count(self, metric: str, **labels: str) -> float:
        return self.registry.get_sample_value(metric, labels) or 0.0


@dataclass
class Linked:
    """The instance, seen from Redis and from Takaro."""

    takaro: FaultyTakaro
    store: Store
    slug: str
    times: LinkTimes = LINK_TIMES
    uplinks: list[LinkedUplink] = field(default_factory=list)

    @property
    def identity(self) -> str:
        return f"identity-{self.slug}"

    @property
    def commands(self) -> CommandStream:
        return CommandStream(self.store, self.slug)

    @property
    def state(self) -> InstanceData:
        return InstanceData(self.store, self.slug)

    def begin(self) -> LinkedUplink:
        """Starts an uplink that stands by."""
        instance = Instance(
            slug=self.slug,
            name="A server",
            identity_token=SecretStr(self.identity),
            registration_token=SecretStr(TOKEN),
        )
        name = f"uplink-{len(self.uplinks)}"
        self.uplinks.append(LinkedUplink(instance, self.takaro.url, self.store, name, self.times))
        return self.uplinks[-1]

    async def owner(self) -> LinkedUplink:
        """Starts an uplink. Returns it when it owns the instance and is identified."""
        uplink = self.begin()
        await uplink.take()
        await until(lambda: uplink.owned.link.identified)
        return uplink

    async def end(self) -> None:
        for uplink in self.uplinks:
            await uplink.end()

    async def append(self, *numbers: int) -> None:
        await self.append_events(*map(line, numbers))

    async def append_events(self, *events: GameEvent) -> None:
        stream = EventStream(self.store, self.slug)
        appended = await stream.append(EventBatch([PostedEvent(digest(event), event) for event in events]))
        stream.notes.answered(appended.token)
        for uplink in self.uplinks:
            uplink.owned.wake(events=True, results=False)

    def lines(self) -> list[str]:
        return [event.data["msg"] for event in self.takaro.events(self.identity)]

    async def arrived(self, *numbers: int) -> None:
        await self.takaro.wait_for(lambda: {f"line {n}" for n in numbers} <= set(self.lines()))

    async def emptied(self) -> None:
        async def nothing_left() -> bool:
            return (await facts_of(self.store, self.slug)).events == 0

        await until(nothing_left)

    async def fetched(self, action: Action | None = None) -> Command:
        """The mod polls until it gets a command, of that action if one is given: players who have joined are
        read about, too."""
        taken: list[Command] = []

        async def found() -> bool:
            commands = await self.commands.take()
            taken.extend(command for command in commands if action in (None, command.action))
            return bool(taken)

        await until(found)
        return taken[0]

    def sockets(self) -> list[int]:
        return [link.number for link in self.takaro.sockets(self.identity)]
