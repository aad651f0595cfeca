"""The event loop of the services: uvloop's, which looks names up apart from the connections that need them.

A cancelled `create_connection` of uvloop leaves its lookup behind, and the loop reports an exception that was
never retrieved. With a silent name server, four such lookups block the only four threads, and all names wait.
"""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import uvloop

from services.relay.service.http.addresses import address_of
from services.relay.store.calls import ignore_error


class Loop(uvloop.Loop):
    """Runs one lookup of a name at a time for all callers. A caller that gives up leaves nothing behind."""

    def __init__(self) -> None:
        super().__init__()
        self._lookups: dict[tuple[Any, ...], asyncio.Task[list[Any]]] = {}

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, **options: Any
    ) -> tuple[Any, Any]:
        if not isinstance(host, str) or not host or address_of(host):
            return await super().create_connection(protocol_factory, host, port, **options)
        if options.get("ssl"):
            options.setdefault("server_hostname", host)
        family, proto, flags = (options.pop(name, 0) for name in ("family", "proto", "flags"))
        failures: list[OSError] = []
        for *_, address in await self._lookup(host, port, family, proto, flags):
            try:
                return await super().create_connection(protocol_factory, address[0], address[1], **options)
            except OSError as error:
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        raise OSError("; ".join(map(str, failures)))

    async def _lookup(self, *key: Any) -> list[Any]:
        lookup = self._lookups.get(key)
        if lookup is None:
            host, port, family, proto, flags = key
            lookup = self._lookups[key] = self.create_task(
                self.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags)
            )
            lookup.add_done_callback(partial(self._looked_up, key))
        await asyncio.wait([lookup])  # it goes on if this caller is cancelled
        return lookup.result()

    def _looked_up(self, key: tuple[Any, ...], lookup: asyncio.Task[list[Any]]) -> None:
        del self._lookups[key]
        ignore_error(lookup)
