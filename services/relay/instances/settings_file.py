"""Reads relay.toml again when it has changed. If it is wrong, the last good settings stay in force."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from services.relay.protocol.errors import ConfigError
from services.relay.service.logs import CHANGE
from services.relay.service.settings import Loaded, Settings, load
from services.relay.service.text_files import signature

SETTLED_AFTER_S = 0.15
"""Time without a change before the file is read: editors empty a file before they write it."""

logger = logging.getLogger(__name__)


class SettingsFile:
    """The settings of a running service. `config` is None where the environment alone holds them.
    `reload_failed` is called with 1 when relay.toml cannot be used, and with 0 when it can be used again."""

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        environ: Mapping[str, str],
        reload_failed: Callable[[float], object],
    ) -> None:
        self.settings = settings
        self.waits_for_restart: list[str] = []  # settings that changed, as "[modapi] port"
        self.complaint = ""  # why relay.toml cannot be used as it is now, "" if it can
        self.nudge = asyncio.Event()  # set when the file must be read before the next regular check
        self._running = settings  # those of the start: some cannot change without a restart
        self._config = config
        self._environ = environ
        self._reload_failed = reload_failed
        self._signature = config and signature(config)

    def reread(self) -> None:
        """Reads relay.toml again even if it seems unchanged: a file that it names may have changed."""
        self._signature = (0, 0, 0)  # no file has it
        self.nudge.set()

    async def check(self) -> None:
        """Reads the file if it has changed."""
        found = self._config and signature(self._config)
        if self._config is None or found == self._signature:
            return
        await asyncio.sleep(SETTLED_AFTER_S)
        if signature(self._config) != found:
            self.nudge.set()
            return
        self._signature = found
        try:
            loaded = load(self._config, self._environ)
        except ConfigError as error:
            self._reload_failed(1)
            self.complaint = "; ".join(str(error).splitlines())
            logger.error("%s. The settings from before stay in force.", self.complaint, extra=CHANGE)
        else:
            self._reload_failed(0)
            self._take(loaded)

    def _take(self, loaded: Loaded) -> None:
        for warning in loaded.warnings:
            logger.warning("%s", warning, extra=CHANGE)
        self.complaint = ""
        self.waits_for_restart = keys = restart_keys(self._running, loaded.settings)
        if any(key.startswith("[takaro]") for key in keys):
            # The new tokens must not be sent to the old address of Takaro.
            logger.warning(
                "%s, %s: takes effect when the relay is started again, and so does all else that was changed",
                self._config,
                keys[0],
                extra=CHANGE,
            )
            return
        for key in keys:
            logger.warning("%s, %s: takes effect after a restart", self._config, key, extra=CHANGE)
        logger.info("%s was read again", self._config)
        self.settings = loaded.settings


def restart_keys(running: Settings, read: Settings) -> list[str]:
    """The settings that differ and take effect only after a restart, as "[modapi] port"."""
    return [
        f"[{section}] {key}"
        for section in Settings.model_fields
        if section != "instances"
        for key in type(getattr(running, section)).model_fields
        if (section, key) != ("takaro", "registration_token")
        and getattr(getattr(running, section), key) != getattr(getattr(read, section), key)
    ]
