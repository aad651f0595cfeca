"""`dayz-relay` with one safeguard taken out, for negative controls: `SABOTAGE=early-ack … uplink --config …`.

What is patched here is what the suite must notice. It lives in the tests alone.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from services.cli.main import main
from services.relay.clocks import boottime_s
from services.relay.errors import LostLease
from services.relay.event_stream import EventStream
from services.relay.leases import Lease, Look, Standing
from services.uplink.takaro.delivery import Delivery
from services.uplink.takaro.progress import StreamEvent


def early_ack() -> None:
    """Events leave the stream when they are written, not when Takaro has receipted them."""
    written, found = Delivery.written, "_of_no_receipt"

    def take_off(self: Delivery, events: Sequence[StreamEvent]) -> None:
        written(self, events)
        setattr(self, found, [*getattr(self, found, []), *events])

    def proven(self: Delivery, now_s: float) -> list[StreamEvent]:
        events: list[StreamEvent] = getattr(self, found, [])
        setattr(self, found, [])
        self.unproven -= len(events)
        return events

    setattr(Delivery, "written", take_off)  # noqa: B010
    setattr(Delivery, "proven", proven)  # noqa: B010
    due_s = property(lambda self: 0.0 if getattr(self, found, []) else float("inf"))
    setattr(Delivery, "proven_s", due_s)  # noqa: B010


def no_lease() -> None:
    """Every uplink takes itself for the owner of everything, and all acks are as good as the owner's."""
    renew, ack = Lease.renew, EventStream.ack

    async def always_ours(self: Lease, **options: Any) -> Look:
        look = await renew(self, **options)
        self._standing = Standing(True, boottime_s())
        self._renewed.set()
        return look._replace(mine=True, wanted="")

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


if __name__ == "__main__":
    {"early-ack": early_ack, "no-lease": no_lease}[os.environ["SABOTAGE"]]()
    sys.exit(main())
