"""`/livez`, `/readyz` and `/metrics`, on the admin ports of both services.

They are Starlette's routes: uplink has nothing else to show, and FastAPI would cost it 5 MiB.
"""

from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


def add_health(
    app: Starlette,
    metrics: Callable[[], Awaitable[bytes]],
    not_ready: Callable[[], Awaitable[str]],
    about: Callable[[], Mapping[str, str | list[str]]] = dict,
) -> None:
    """Adds the three calls to `app`. `metrics` gives the text of the last one, `not_ready` the reason why the
    service is not ready, or "", `about` more fields of `/readyz`."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"ok": True})

    async def readyz(_: Request) -> Response:
        reason = await not_ready()
        if not reason:
            return JSONResponse({"ok": True, **about()})
        return JSONResponse({"ok": False, "reason": reason, **about()}, 503)

    async def shown(_: Request) -> Response:
        return Response(await metrics(), media_type=CONTENT_TYPE_LATEST)

    for path, call in (("/livez", livez), ("/readyz", readyz), ("/metrics", shown)):
        app.add_route(path, call, ["GET", "HEAD"], include_in_schema=False)
    # Also for the mounted applications: no mount takes a path with a line break in it.
    app.add_exception_handler(HTTPException, no_such_call)


async def no_such_call(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
