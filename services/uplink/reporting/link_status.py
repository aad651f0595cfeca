"""What others see of one link: its state in Redis and in the metrics, and each change once in the log."""

import asyncio
import logging

from services.relay.instances.state import InstanceState, LinkInfo
from services.relay.protocol.errors import StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.service import logs
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.store.leases import Lease
from services.uplink.reporting.metrics import UplinkMetrics

logger = logging.getLogger(__name__)


class LinkStatus:
    """Shows the link of the instance `slug`, until `close`: then another one may be in our place."""

    def __init__(self, slug: str, state: InstanceState, lease: Lease, metrics: UplinkMetrics) -> None:
        self._slug = slug
        self._state = state
        self._lease = lease
        self._metrics = metrics
        self._logger = InstanceLogger(logger, slug)
        self._said = self._why = ""
        self._info = LinkInfo(LinkState.WAITING)
        self._published = False
        self._publishing: asyncio.Task[None] | None = None
        self.closed = False

    def say(self, text: str, *, good: bool = False, permanent: bool = False) -> None:
        """Once for each change: an outage of an hour is one line, not a thousand."""
        if text != self._said:
            self._said = text
            self._logger.log(logging.ERROR if permanent else logging.INFO, text, extra=logs.CHANGE)
        self._why = "" if good else logs.clean(text)
        self.show(LinkState(self._info.state))

    def show(self, state: LinkState, game_server_id: str = "") -> None:
        """The link is in this state now."""
        info = LinkInfo(state, game_server_id or self._info.game_server_id, self._why)
        if self.closed or info == self._info:
            return
        self._info = info
        self._metrics.link_is(self._slug, state)
        self._published = False
        self._publishing = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        with self._metrics.service.faults.kept(self._logger, FaultKind.LISTENER):
            await self.publish()

    def close(self) -> None:
        """Whatever happens from now on is not shown any more."""
        self.closed = True

    async def publish(self) -> None:
        """Writes the state down for modapi, if that was not done yet: called again and again.

        While another uplink owns the instance, its state is the one to be shown.
        """
        if self._published or not self._lease.held:
            return
        info = self._info
        try:
            await self._state.write_link(info)
        except StoreError:
            return
        self._published = info == self._info
