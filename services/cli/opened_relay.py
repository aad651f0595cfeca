"""Opens a relay for a command: its settings, its store, its instances."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from services.cli import own_store
from services.cli.api import hint
from services.relay.instances.entries import ServedEntry, merge
from services.relay.instances.registry import Registry
from services.relay.protocol.errors import ConfigError, NoSuchInstance
from services.relay.service.settings import Settings
from services.relay.service.text_files import is_there
from services.relay.store.client import Store


@dataclass(frozen=True)
class OpenedRelay:
    """The settings, store and registry that a command uses. Its calls raise StoreError."""

    settings: Settings
    store: Store
    registry: Registry

    async def entries(self) -> dict[str, ServedEntry]:
        """All instances, those of relay.toml first."""
        found = await self.registry.records.look()
        token = self.settings.takaro.registration_token
        return merge(self.settings.instances, found.records() or {}, self.registry.records.age_s, token)

    async def entry(self, slug: str) -> ServedEntry:
        """Raises NoSuchInstance."""
        entries = await self.entries()
        if slug not in entries:
            raise NoSuchInstance(f"there is no instance {slug} ({hint(slug, list(entries))})")
        return entries[slug]


@contextlib.asynccontextmanager
async def opened(settings: Settings, data: Path) -> AsyncIterator[OpenedRelay]:
    """The store that the settings name, or that `up` keeps in `data`. Raises ConfigError."""
    relaxed = settings.redis.durability == "relaxed"
    store = Store(store_url(settings, data), replicas=settings.redis.replicas, relaxed=relaxed)
    try:
        yield OpenedRelay(settings, store, Registry(store, lambda: settings.instances))
    finally:
        await store.close()


def store_url(settings: Settings, data: Path) -> str:
    """Where the relay's store is. Raises ConfigError when there is none."""
    if settings.redis.url is not None:
        return settings.redis.url.get_secret_value()
    found = own_store.url(data) if is_there(data) else None
    if found is None:
        raise ConfigError(
            f"--data {data}: no relay runs there: start `dayz-relay up`, name its --data, or set redis.url"
        )
    return found
