"""What the calls of one mod show of it: that it is alive, its address, and how long its polls are held."""

import time
from typing import Any

from services.modapi.hold_rules import FALL_BACK_S, HoldRules, HoldState
from services.modapi.http.calls import CallKind
from services.relay.instances.facts import InstanceState
from services.relay.protocol.vocabulary import SILENT_AFTER_S
from services.relay.service.clocks import boottime_s
from services.relay.service.logs import InstanceLogger

MAX_VERSION_CHARS = 40

ADDRESS_EVERY_S = 5.0
"""Shortest time between two writes of the mod's address, which may change with each call."""


class ModPresence:
    """The mod of one instance. Stores in `state` what uplink and the page show of it."""

    def __init__(self, state: InstanceState, rules: HoldRules, logger: InstanceLogger) -> None:
        self.last_contact_s: float | None = None  # on boottime_s()
        self.last_poll_s: float | None = None
        self._state = state
        self._rules = rules
        self._logger = logger
        self._hold_ms = -1
        self._address = ""
        self._address_noted_s = float("-inf")

    def called(self, kind: CallKind, address: str) -> None:
        """The mod has made a call, from this address."""
        boot_s = boottime_s()
        if address != self._address and boot_s - self._address_noted_s >= ADDRESS_EVERY_S:
            self._address, self._address_noted_s = address, boot_s
            self._state.note_mod("address", address)
        if self.last_contact_s is None:
            self._logger.info("the mod is there")
        elif boot_s - self.last_contact_s > SILENT_AFTER_S:
            self._logger.info("the mod is back after %.0f s", boot_s - self.last_contact_s)
        self.last_contact_s = boot_s
        if kind is CallKind.POLL:
            self.last_poll_s = boot_s
        if kind is CallKind.REGISTER:  # other calls store it in their scripts
            self._state.note_contact()
        now_s = time.monotonic()
        if kind is CallKind.POLL:
            hold_ms = round(self._rules.allowed_s(now_s) * 1000)
            if hold_ms != self._hold_ms:
                self._hold_ms = hold_ms
                self._state.note_mod("hold_ms", hold_ms)
        elif self._rules.state is not HoldState.FREE:
            if self._rules.called(now_s, events=kind is CallKind.EVENTS):
                self._logger.info("events queue up behind held polls: none is held for %.0f s", FALL_BACK_S)

    def registered(self, version: Any) -> None:
        """The mod has registered, with this version."""
        if isinstance(version, str) and version:
            self._state.note_mod("version", version[:MAX_VERSION_CHARS].encode("utf-8", "replace").decode())
