"""The names of servers, for the shells that complete them."""

import asyncio
from pathlib import Path

from services.cli.opened_relay import opened
from services.cli.settings_of import loaded_from
from services.relay.protocol.errors import RelayError
from services.relay.service.settings import Settings


def slugs(config: Path, data: Path) -> list[str]:
    """The slugs of all servers; only those of relay.toml while the store is away."""
    return asyncio.run(_slugs(loaded_from(config).settings, data))


async def _slugs(settings: Settings, data: Path) -> list[str]:
    try:
        async with opened(settings, data) as relay:
            return list(await relay.entries())
    except RelayError:
        return [instance.slug for instance in settings.instances]
