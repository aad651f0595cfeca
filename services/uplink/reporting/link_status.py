"""Shows the state of one link in Redis, in the metrics, and each change once in the log."""

import asyncio
import logging

from services.relay.instances.facts import InstanceData, LinkInfo
from services.relay.protocol.errors import StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.service import logs
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.store.leases import Lease
from services.uplink.reporting.metrics import STATE, UplinkMetrics


class LinkStatus:
    """Shows the link of one instance."""

    def __init__(self, data: InstanceData, lease: Lease, metrics: UplinkMetrics) -> None:
        self._data = data
        self._lease = lease
        self._metrics = metrics
        self._logger = InstanceLogger(__name__, lease.slug)
        self._logged = self._why = ""
        self._info = LinkInfo(LinkState.WAITING)
        self._published = False
        self._publishing: asyncio.Task[None] | None = None
        self.closed = False  # set when another link may follow: later changes are not shown

    @property
    def state(self) -> LinkState:
        return LinkState(self._info.state)

    def report(self, text: str, *, good: bool = False, permanent: bool = False) -> None:
        """Logs `text` if it differs from the last one: an outage of an hour is one line. Unless it is `good`,
        it is also shown as what is wrong with the link."""
        if text != self._logged:
            self._logged = text
            self._logger.log(logging.ERROR if permanent else logging.INFO, text, extra=logs.CHANGE)
        self._why = "" if good else logs.clean(text)
        self.show(self.state)

    def show(self, state: LinkState, game_server_id: str = "") -> None:
        """Shows a new state. An empty `game_server_id` keeps the one known before."""
        info = LinkInfo(state, game_server_id or self._info.game_server_id, self._why)
        if self.closed or info == self._info:
            return
        self._info = info
        self._metrics.instances.row(self._lease.slug).set_only(STATE, state.value)
        self._published = False
        self._publishing = asyncio.create_task(self.publish())

    async def publish(self) -> None:
        """Writes the state to Redis for modapi, unless it is written, or another uplink owns the instance,
        whose state counts then. Call it again and again."""
        if self._published or not self._lease.held:
            return
        info = self._info
        with self._metrics.service.faults.contain(self._logger, FaultKind.LISTENER):
            try:
                await self._data.write_link(info)
            except StoreError:
                return
            self._published = info == self._info
