"""The admin API without a port, on a store of the test's own."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import astuple

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.modapi.admin.api import add_api
from services.modapi.admin.context import AdminContext
from services.modapi.metrics import ModapiMetrics
from services.relay.instances.directory import Directory
from services.relay.protocol.keys import ADMIN_TOKENS, keys_of
from services.relay.service.lifecycle import cancelled
from services.relay.service.settings import Instance, ModApi, Settings
from services.relay.store.client import Store
from tests.support.sse import AppClient
from tests.support.stored_instances import forget_instances

TOKEN = "admin-token-0123456789"
FILE = Instance(
    slug="of-file",
    name="Of the file",
    identity_token=SecretStr("identity-of-file"),
    mod_keys=(SecretStr("key-of-the-file-0123"),),
)


def client(
    store: Store,
    token: str | None,
    local: str = "",
    *,
    raises: bool = True,
    file: Instance = FILE,
    registry: CollectorRegistry | None = None,
) -> tuple[AppClient, Directory]:
    """A client with TOKEN, of an API whose `admin_token` is `token` and whose local token is `local`, of a
    relay whose relay.toml has the server `file`.

    `raises`: a fault of the API is raised in the test, and not answered.
    """
    modapi = ModApi(admin_token=SecretStr(token) if token else None)
    settings = Settings(instances=(file,), modapi=modapi)
    directory = Directory(settings, None, {}, store, lambda _: None)
    metrics = ModapiMetrics(registry or CollectorRegistry())
    pages = FastAPI(openapi_url=None)
    add_api(pages, AdminContext(directory, store, settings, metrics, local))
    headers = {"authorization": f"Bearer {TOKEN}"}
    return AppClient(pages, raises=raises, base_url="http://admin", headers=headers), directory


@pytest.fixture
async def made(store: Store) -> AsyncIterator[tuple[AppClient, Directory]]:
    await forget_instances(store)
    await store.send("DEL", ADMIN_TOKENS)
    for slug in ("one", FILE.slug):
        await store.send("UNLINK", *astuple(keys_of(slug)))
    api, directory = client(store, TOKEN)
    async with api:
        yield api, directory


@pytest.fixture
def api(made: tuple[AppClient, Directory]) -> AppClient:
    return made[0]


@pytest.fixture
async def watched(made: tuple[AppClient, Directory]) -> AsyncIterator[None]:
    """The directory follows Redis, as it does in a service."""
    watching = asyncio.create_task(made[1].watch(lambda _: None))
    await made[1].complete.wait()
    yield
    await cancelled(watching)
