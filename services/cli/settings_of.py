"""The settings that a command, or one of the services, works with."""

import logging
import os
from pathlib import Path

from services.relay.service import logs
from services.relay.service.settings import Loaded, Settings, load
from services.relay.service.settings_names import environment_configures
from services.relay.service.settings_secrets import secrets_in
from services.relay.service.settings_warnings import cautions
from services.relay.service.text_files import is_there

logger = logging.getLogger(__name__)


def prepared(name: str, config: Path, *, warned: bool) -> tuple[Settings, Path | None]:
    """Set up the log of a service. Returns its settings and their file. Raises ConfigError."""
    loaded = loaded_from(config)
    logs.configure(name, loaded.settings.log.format)
    for warning in () if warned else warnings_of(loaded):
        logger.warning("%s", warning)
    return loaded.settings, _file(config)


def loaded_from(config: Path) -> Loaded:
    """Load the settings, and hide their secrets in all lines from now on. Raises ConfigError."""
    loaded = load(_file(config), os.environ)
    logs.hide("settings", secrets_in(loaded.settings))
    return loaded


def warnings_of(loaded: Loaded) -> list[str]:
    """The warnings of `dayz-relay check`."""
    return [*loaded.warnings, *cautions(loaded)]


def _file(config: Path) -> Path | None:
    """None where no relay.toml is needed: the environment has an instance, or names a store that has some."""
    names = ("RELAY_REDIS__URL", "RELAY_REDIS__URL_FILE")
    enough = environment_configures(os.environ) or any(os.environ.get(name) for name in names)
    return config if is_there(config) or not enough else None
