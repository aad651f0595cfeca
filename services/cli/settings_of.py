"""The settings that a command, or one of the services, works with."""

import os
from pathlib import Path

from services.relay.service import logs
from services.relay.service.settings import Loaded, load
from services.relay.service.settings_names import environment_configures
from services.relay.service.settings_warnings import cautions, secrets_in
from services.relay.service.text_files import is_there


def loaded_from(config: Path) -> Loaded:
    """Load the settings, and hide their secrets in all lines from now on. Raises ConfigError."""
    loaded = load(file_of(config), os.environ)
    logs.hide("settings", secrets_in(loaded.settings))
    return loaded


def file_of(config: Path) -> Path | None:
    """None where no relay.toml is needed: the environment has an instance, or names a store that has some."""
    names = ("RELAY_REDIS__URL", "RELAY_REDIS__URL_FILE")
    enough = environment_configures(os.environ) or any(os.environ.get(name) for name in names)
    return config if is_there(config) or not enough else None


def warnings_of(loaded: Loaded) -> list[str]:
    """The warnings of `dayz-relay check`."""
    return [*loaded.warnings, *cautions(loaded)]
