"""Opens the store of a relay for a command."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from services.cli import own_store
from services.relay.protocol.errors import ConfigError
from services.relay.service.settings import Settings
from services.relay.service.text_files import is_there
from services.relay.store.client import Store


@contextlib.asynccontextmanager
async def opened_store(settings: Settings, data: Path) -> AsyncIterator[Store]:
    """The store that the settings name, or that `up` keeps in `data`. Raises ConfigError if there is none."""
    if settings.redis.url is not None:
        url: str | None = settings.redis.url.get_secret_value()
    else:
        url = own_store.url(data) if is_there(data) else None
    if url is None:
        raise ConfigError(
            f"--data {data}: no relay runs there: start `dayz-relay up`, name its --data, or set redis.url"
        )
    relaxed = settings.redis.durability == "relaxed"
    store = Store(url, replicas=settings.redis.replicas, relaxed=relaxed)
    try:
        yield store
    finally:
        await store.close()
