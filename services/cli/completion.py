"""The names of servers, for the shells that complete them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import typer

from services.cli.api import RelayAway, opened_api
from services.cli.at_relay import given_in
from services.cli.place import find
from services.cli.settings_of import loaded_from
from services.relay.protocol.errors import RelayError

WITHIN_S = 2.0


def slugs(ctx: typer.Context, params: Mapping[str, Any]) -> list[str]:
    """The slugs of all servers; those of relay.toml where no relay answers. Raises RelayError."""
    given = given_in(ctx, dict(params))
    try:
        return asyncio.run(_slugs(given))
    except (RelayError, TimeoutError):
        if given.url or given.context:
            raise RelayAway from None
        return [instance.slug for instance in loaded_from(given.config).settings.instances]


async def _slugs(given: Any) -> list[str]:
    async with asyncio.timeout(WITHIN_S), opened_api(await find(given)) as relay:
        return [one["slug"] for one in await relay.servers()]
