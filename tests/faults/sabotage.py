"""`dayz-relay` without one safeguard, for negative controls: `SABOTAGE=early-ack … uplink --config …`.

It patches the services from outside, because they must not have a switch for this. The suite must notice it.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from services.cli.main import main
from services.relay.protocol.errors import LostLease
from services.relay.protocol.records import Command
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream
from services.relay.store.lease_renewal import LeaseRenewal
from services.relay.store.leases import Lease
from services.uplink.events.progress import StreamEvent
from services.uplink.events.receipts import Receipts


def early_ack() -> None:
    """Acknowledges events when they are written, without waiting for Takaro's receipt."""
    written, found = Receipts.written, "_of_no_receipt"

    def take_off(self: Receipts, events: Sequence[StreamEvent]) -> None:
        written(self, events)
        setattr(self, found, [*getattr(self, found, []), *events])
        self.proven_s = 0.0

    def proven(self: Receipts, now_s: float) -> list[StreamEvent]:
        events: list[StreamEvent] = getattr(self, found, [])
        setattr(self, found, [])
        self.unproven -= len(events)
        self.proven_s = float("inf")
        return events

    setattr(Receipts, "written", take_off)  # noqa: B010
    setattr(Receipts, "proven", proven)  # noqa: B010


def no_lease() -> None:
    """Every uplink acts as the owner of all instances, and can acknowledge their events."""
    renew, ack = Lease.renew, EventStream.ack

    async def always_ours(self: Lease, **options: Any) -> LeaseRenewal:
        renewal = await renew(self, **options)
        self.held, self.trusted_until_s = True, float("inf")
        self._renewed.set()
        return renewal._replace(mine=True, wanted="")

    async def never_fenced(self: EventStream, *args: Any) -> None:
        try:
            await ack(self, *args)
        except LostLease:
            pass

    async def always_announced(self: Lease) -> bool:
        return True

    setattr(Lease, "renew", always_ours)  # noqa: B010
    setattr(Lease, "announce_identify", always_announced)  # noqa: B010
    setattr(EventStream, "ack", never_fenced)  # noqa: B010


def hand_out_again() -> None:
    """A poll gets the commands of the last one once more, as if none were noted as handed out."""
    take, found = CommandStream.take, "_of_the_last_poll"

    async def take_again(self: CommandStream, **options: Any) -> list[Command]:
        again: list[Command] = getattr(self, found, [])
        commands = await take(self, **options)
        setattr(self, found, commands)
        return [*again, *commands]

    setattr(CommandStream, "take", take_again)  # noqa: B010


SABOTAGES = {"early-ack": early_ack, "no-lease": no_lease, "hand-out-again": hand_out_again}

if __name__ == "__main__":
    SABOTAGES[os.environ["SABOTAGE"]]()
    sys.exit(main())
