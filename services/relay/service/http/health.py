"""`/livez`, `/readyz` and `/metrics`, on the admin ports of both services.

They are Starlette's routes: uplink has nothing else to show, and FastAPI would cost it 5 MiB.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.relay.protocol.errors import StoreError
from services.relay.service.metrics import ServiceMetrics
from services.relay.store.client import Store


def add_health(
    app: Starlette, metrics: ServiceMetrics, store: Store, about: Callable[[], Mapping[str, str | list[str]]]
) -> None:
    """Adds the three calls to `app`. `about` gives fields of `/readyz` beside those of the store."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"ok": True})

    async def readyz(_: Request) -> Response:
        reason, facts = await not_ready(store), store.facts
        fields = {"store": facts.described(), "accepted_losses": facts.losses(), **about()}
        if not reason:
            return JSONResponse({"ok": True, **fields})
        return JSONResponse({"ok": False, "reason": reason, **fields}, 503)

    async def shown(_: Request) -> Response:
        return Response(await metrics.text(), media_type=CONTENT_TYPE_LATEST)

    for path, call in (("/livez", livez), ("/readyz", readyz), ("/metrics", shown)):
        app.add_route(path, call, ["GET", "HEAD"], include_in_schema=False)
    # It also answers for a path with a line break, which no mount takes.
    app.add_exception_handler(HTTPException, no_such_call)


async def not_ready(store: Store) -> str:
    """Why this service cannot do its work, or "". An outage of Takaro is no reason: events wait in Redis."""
    try:
        await store.ping()
    except StoreError as error:
        return str(error)
    return "; ".join(store.facts.refusals()) or store.facts.shortage()


async def no_such_call(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
