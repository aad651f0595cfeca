"""One instance as modapi serves it: its streams, its known players, its limits and its mod."""

import contextlib
import time
import uuid
from typing import Any

from services.modapi.commands import ModCommands
from services.modapi.dialect.roster import Roster
from services.modapi.events import EventIntake
from services.modapi.hold_rules import FALL_BACK_S, HoldRules, HoldState
from services.modapi.http.body_memory import BodyMemory
from services.modapi.http.calls import CallKind
from services.modapi.http.rate_limits import RESULTS_AT_ONCE, LogLines, RateLimits
from services.modapi.metrics import ModapiMetrics
from services.modapi.polls import Polls
from services.relay.instances.facts import InstanceData
from services.relay.protocol.errors import StoreError
from services.relay.protocol.limits import DEFAULT_LIMITS, Limits
from services.relay.protocol.vocabulary import SILENT_AFTER_S
from services.relay.service.clocks import boottime_s
from services.relay.service.faults import FaultKind
from services.relay.service.logs import InstanceLogger
from services.relay.service.settings import Instance
from services.relay.store.client import Store
from services.relay.store.command_stream import CommandStream
from services.relay.store.event_stream import EventStream

AGENT = "agent"
"""The log agent is a sender of its own beside the mod: it repeats its own batches, and no others."""

_SUBSTITUTE_IDS = uuid.UUID("6c1d5ad0-52c5-4f0c-9d9a-7f2f0f3a8d11")


MAX_VERSION_CHARS = 40

ADDRESS_EVERY_S = 5.0
"""Shortest time between two writes of the mod's address, which may change with each call."""

NOTED_AGAIN_S = 300.0
"""Time after which an address and a length of holds that stay the same are written again."""


class ModPresence:
    """The mod of one instance. Stores in `data` what uplink and the page show of it."""

    def __init__(self, data: InstanceData, rules: HoldRules, logger: InstanceLogger) -> None:
        self.last_contact_s: float | None = None  # on boottime_s()
        self.last_poll_s: float | None = None
        self._data = data
        self._rules = rules
        self._logger = logger
        self._hold_ms = -1
        self._address = ""
        self._address_noted_s = float("-inf")

    def called(self, kind: CallKind, address: str) -> None:
        """The mod has made a call, from this address."""
        boot_s = boottime_s()
        every_s = ADDRESS_EVERY_S if address != self._address else NOTED_AGAIN_S
        if boot_s - self._address_noted_s >= every_s:
            self._address, self._address_noted_s = address, boot_s
            self._hold_ms = -1  # written again with the next poll
            self._data.note_mod("address", address)
        if self.last_contact_s is None:
            self._logger.info("the mod is there")
        elif boot_s - self.last_contact_s > SILENT_AFTER_S:
            self._logger.info("the mod is back after %.0f s", boot_s - self.last_contact_s)
        self.last_contact_s = boot_s
        if kind is CallKind.POLL:
            self.last_poll_s = boot_s
        if kind is CallKind.REGISTER:  # other calls store it in their scripts
            self._data.note_contact()
            self._rules.game_server_started()
        now_s = time.monotonic()
        if kind is CallKind.POLL:
            hold_ms = round(self._rules.allowed_s(now_s) * 1000)
            if hold_ms != self._hold_ms:
                self._hold_ms = hold_ms
                self._data.note_mod("hold_ms", hold_ms)
        elif self._rules.state is not HoldState.FREE:
            if self._rules.called(now_s, events=kind is CallKind.EVENTS):
                self._logger.info("events queue up behind held polls: none is held for %.0f s", FALL_BACK_S)

    def registered(self, version: Any) -> None:
        if isinstance(version, str) and version:
            self._data.note_mod("version", version[:MAX_VERSION_CHARS].encode("utf-8", "replace").decode())


class ServedInstance:
    """The parts that answer the calls of one mod: its fields are those parts."""

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
        self.data = InstanceData(store, settings.slug)
        roster = Roster(contradicted=metrics.contradictory.inc)
        self._log_lines = LogLines(settings.log == "on", settings.log_per_s, time.monotonic())
        self.intake, self.agent_intake = (
            EventIntake(
                EventStream(store, settings.slug, sender),
                self.data,
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
        self.mod = ModPresence(self.data, self.polls.rules, logger)
        self._logger = logger
        self._faults = metrics.service.faults

    def follow(self, settings: Instance) -> None:
        if (settings.log, settings.log_per_s) != (self.settings.log, self.settings.log_per_s):
            self._log_lines.set(settings.log == "on", settings.log_per_s, time.monotonic())
        self.settings = settings

    async def game_server_id(self) -> str:
        """Takaro's id of this server, until Takaro has given one a substitute that stays the same. Never
        fails: a mod does not register again until the game server restarts (protocol.md M2)."""
        given = ""
        with self._faults.contain(self._logger, FaultKind.REQUEST), contextlib.suppress(StoreError):
            given = (await self.data.link()).game_server_id
        return given or str(uuid.uuid5(_SUBSTITUTE_IDS, self.settings.slug))
