"""The application behind the mods' port: their calls, and the health page of the bridge that it replaces."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from services.modapi.http.router import ModRouter
from services.modapi.metrics import ModapiMetrics
from services.modapi.served_instance import ServedInstance
from services.modapi.served_instances import ServedInstances
from services.relay.instances.facts import facts_of
from services.relay.protocol.errors import StoreError
from services.relay.protocol.link_states import LinkState
from services.relay.service.clocks import boottime_s
from services.relay.service.http.addresses import Network
from services.relay.store.client import Store


def make_app(
    served_instances: ServedInstances, metrics: ModapiMetrics, trusted: Sequence[Network] = ()
) -> ModRouter:
    """The application behind the mods' port. http/router.py says why the mods' calls do not pass FastAPI."""
    app = FastAPI(openapi_url=None)

    @app.exception_handler(404)
    async def no_such_call(_: Request, __: Exception) -> Response:
        """The text for a person who opens the mod's TakaroApiUrl in a browser to check it."""
        what = "the relay is here, but has no such call: with /health behind the address it shows its state"
        return JSONResponse({"error": what}, 404)

    @app.get("/health")
    async def health(request: Request, response: Response) -> dict[str, Any]:
        instance = served_instances.instances.get(request.state.slug)
        if instance is None and not served_instances.complete():
            response.status_code = 503
            return {"ok": False, "error": "the servers are not known yet: Redis is away"}
        if instance is None:  # a wrong key does not get here (http/router.py)
            response.status_code = 401
            return {"ok": False, "error": "no key: call /k/<mod key>/health"}
        if limit := instance.rate_limits.beyond(time.monotonic()):
            metrics.beyond(limit)
            response.status_code = 429
            return {"ok": False, "error": "more calls than this server may make"}
        return await _health(served_instances.store, instance)

    return ModRouter(app, served_instances, metrics, trusted)


async def _health(store: Store, instance: ServedInstance) -> dict[str, Any]:
    """In the form of the old bridge, which status pages read: always 200, the state is in the body."""
    facts = None
    with contextlib.suppress(StoreError):
        facts = await facts_of(store, instance.settings.slug)
    is_ready = facts is not None and facts.link == LinkState.READY
    return {
        "ok": facts is not None,
        "identified": is_ready,
        "wsConnected": is_ready,
        "gameServerId": facts.game_server_id or None if facts else None,
        "lastPollAt": _iso(instance.mod.last_poll_s),
        "lastModContactAt": _iso(instance.mod.last_contact_s),
        "pendingEvents": facts.events if facts else 0,
        "pendingOperations": facts.commands if facts else 0,
    }


def _iso(at_s: float | None) -> str | None:
    """A time on boottime_s(), as a time of the wall clock."""
    if at_s is None:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - boottime_s() + at_s))
