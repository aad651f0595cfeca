"""modapi as an application: the mods' wire in front, and the health page of the bridge it replaces."""

import time
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response

from services.modapi.admitted import Admitted
from services.modapi.metrics import Metrics
from services.modapi.served import ServedInstance
from services.modapi.wire import ModWire
from services.relay.clocks import boottime_s
from services.relay.errors import StoreError
from services.relay.http.addresses import Network
from services.relay.instances.state import LinkInfo, Queued
from services.relay.link_state import State


def make_app(admitted: Admitted, metrics: Metrics, trusted: Sequence[Network] = ()) -> ModWire:
    """The application behind the mods' port. Their own calls never reach FastAPI, whose layers cost CPU."""
    app = FastAPI(openapi_url=None)

    @app.get("/health")
    async def health(request: Request, response: Response) -> dict[str, Any]:
        instance = admitted.instances.get(request.state.slug)
        if instance is None:
            response.status_code = 401
            return {"ok": False, "error": "unknown key: call /k/<mod key>/health"}
        return await _health(instance)

    return ModWire(app, admitted, metrics, trusted)


async def _health(instance: ServedInstance) -> dict[str, Any]:
    """In the shape of the old bridge, which status pages read: always 200, the truth is in the body."""
    try:
        link, queued, ok = await instance.state.link(), await instance.state.queued(), True
    except StoreError:
        link, queued, ok = LinkInfo(), Queued(0, 0, 0), False
    return {
        "ok": ok,
        "identified": link.state == State.READY,
        "wsConnected": link.state == State.READY,
        "gameServerId": link.game_server_id or None,
        "lastPollAt": _iso(instance.last_poll_s),
        "lastModContactAt": _iso(instance.last_contact_s),
        "pendingEvents": queued.events,
        "pendingOperations": queued.commands,
    }


def _iso(at_s: float | None) -> str | None:
    """A moment on boottime_s(), as the wall clock has it now."""
    if at_s is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - boottime_s() + at_s))
