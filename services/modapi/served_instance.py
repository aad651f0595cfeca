"""One instance as modapi serves it: its streams, its known players, its limits and its mod."""

import contextlib
import time
import uuid

from services.modapi.commands import ModCommands
from services.modapi.dialect.roster import Roster
from services.modapi.events import EventIntake
from services.modapi.http.body_memory import BodyMemory
from services.modapi.http.rate_limits import RESULTS_AT_ONCE, LogLines, RateLimits
from services.modapi.metrics import ModapiMetrics
from services.modapi.mod_presence import ModPresence
from services.modapi.polls import Polls
from services.relay.instances.facts import InstanceState
from services.relay.protocol.errors import StoreError
from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream

AGENT = "agent"
"""The log agent is a sender of its own beside the mod: it repeats its own batches, and no others."""

_SUBSTITUTE_IDS = uuid.UUID("6c1d5ad0-52c5-4f0c-9d9a-7f2f0f3a8d11")


class ServedInstance:
    """What answers the calls of one mod."""

    def __init__(
        self,
        settings: Instance,
        store: Store,
        metrics: ModapiMetrics,
        logger: InstanceLogger,
        hold_polls_s: float,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.settings = settings
        self.state = InstanceState(store, settings.slug)
        roster = Roster(contradicted=metrics.contradictory.inc)
        self._log_lines = LogLines(settings.log == "on", settings.log_per_s, time.monotonic())
        self.intake, self.agent_intake = (
            EventIntake(
                EventStream(store, settings.slug, sender),
                self.state,
                roster,
                metrics,
                self._log_lines,
                limits,
            )
            for sender in ("", AGENT)
        )
        self.commands = ModCommands(CommandStream(store, settings.slug), roster, metrics, logger)
        self.polls = Polls(self.commands, hold_polls_s, metrics, logger)
        self.rate_limits = RateLimits(limits, time.monotonic())
        self.batch_memory, self.result_memory = (
            BodyMemory(RESULTS_AT_ONCE * limits.result_bytes) for _ in range(2)
        )
        self.mod = ModPresence(self.state, self.polls.rules, logger)
        self._logger = logger
        self._faults = metrics.service.faults

    def follow(self, settings: Instance) -> None:
        """Takes over changed settings."""
        if (settings.log, settings.log_per_s) != (self.settings.log, self.settings.log_per_s):
            self._log_lines.set(settings.log == "on", settings.log_per_s, time.monotonic())
        self.settings = settings

    async def game_server_id(self) -> str:
        """Takaro's id of this server. Until Takaro has given one, a substitute that stays the same.

        Never fails: a mod does not register again until the game server restarts (protocol.md M2).
        """
        given = ""
        with self._faults.contain(self._logger, FaultKind.REQUEST), contextlib.suppress(StoreError):
            given = (await self.state.link()).game_server_id
        return given or str(uuid.uuid5(_SUBSTITUTE_IDS, self.settings.slug))
