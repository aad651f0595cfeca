"""Server-sent events of the admin API, over broken connections."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, NamedTuple

import httpx
import orjson

from services.cli.api import CONNECT_WITHIN_S, RelayApi, RelayAway
from services.cli.terminal import complain

SILENT_S = 40.0  # the relay sends at least a comment each 15 s

AGAIN_S = 1.0
STORE_AWAY = 503


class Message(NamedTuple):
    id: str
    name: str
    data: dict[str, Any]


async def follow(relay: RelayApi, path: str, again_s: float = AGAIN_S) -> AsyncIterator[Message]:
    """The messages of a stream. When its connection ends it goes on behind the last one, for ever.

    Raises what a call raises, but RelayAway only as long as no relay has answered.
    """
    last_id, has_answered = "", False
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        timeout = httpx.Timeout(SILENT_S, connect=CONNECT_WITHIN_S)
        try:
            async with relay.client.stream("GET", path, headers=headers, timeout=timeout) as answer:
                if not answer.is_success and (not has_answered or answer.status_code < STORE_AWAY):
                    raise await relay.error(answer.status_code, await answer.aread(), path)
                if answer.is_success:
                    relay.is_lost, has_answered = False, True
                async for message in _received(answer):
                    last_id = message.id or last_id
                    yield message
        except (httpx.TransportError, OSError, RelayAway) as error:
            if not has_answered:
                raise relay.away(error) from None
            if not relay.is_lost:  # it is reported once for all streams
                complain(f"{relay.away(error)}; trying again")
            relay.is_lost = True
        await asyncio.sleep(again_s)


async def _received(answer: httpx.Response) -> AsyncIterator[Message]:
    rest = b""
    async for chunk in answer.aiter_bytes():
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for message in read(blocks):
            yield message


def read(blocks: Iterable[bytes]) -> Iterator[Message]:
    """The messages in these blocks; comments are none. Only line feeds end a line: players write the rest."""
    for block in blocks:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
        if b"data" in fields:
            data = orjson.loads(fields[b"data"])
            yield Message(fields.get(b"id", b"").decode(), fields.get(b"event", b"").decode(), data)
