"""HTTP calls that this program makes: messages to webhooks, the log agent's events, the doctor's checks.

httpx is imported in a thread, at the first call: that takes 0.1 to 0.3 s, in which the loop would stand still
and `dayz-relay --version` would wait. Each call by https takes tens of ms more for the
certificates of the machine.
"""

import asyncio
import logging
import ssl
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import httpx

RELAY_HEADER = "x-dayz-relay"
"""The version of the relay, in every answer of its admin API: without it, another program answers."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`headers` ignores case. `body` ends at the limit that the caller set."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


async def call(
    method: str, url: str, *, within_s: float, max_bytes: int, json_body: bytes | None = None
) -> HttpAnswer:
    """Makes one call, on a connection of its own, and reads at most `max_bytes` of the answer's body.

    Follows no redirect, uses no proxy and no .netrc of the environment, and checks certificates against the
    authorities of this machine. A name and a password in the URL are sent as basic authentication.
    Raises OSError (also TimeoutError and TLS failures), or ValueError if the other side speaks no HTTP. Each
    has a text with the reason.
    """
    _ = urlsplit(url).port  # ValueError if it is out of range: asyncio would raise OverflowErrors in a group
    plain = {"Accept-Encoding": "identity", "Connection": "close"}
    client = await asyncio.to_thread(client_of, url, plain, timeout=None)  # `within_s` bounds it
    # Only here, after the thread has imported it.
    from httpx import InvalidURL, ProtocolError, TransportError

    headers = {} if json_body is None else {"Content-Type": "application/json"}
    try:
        async with (
            asyncio.timeout(within_s),
            client,
            client.stream(method, url, content=json_body, headers=headers) as response,
        ):
            body = b""
            if max_bytes:
                async with aclosing(response.aiter_raw(max_bytes)) as chunks:  # type: ignore[type-var]
                    body = await anext(chunks, b"")
            return HttpAnswer(response.status_code, response.headers, body)
    except ProtocolError:
        raise ValueError("it does not answer as a web server does") from None
    except TimeoutError:
        raise TimeoutError("no answer in time") from None
    except TransportError as error:
        raise OSError(reason_of(error)) from None
    except InvalidURL as error:
        raise ValueError(str(error)) from None


def client_of(url: str, headers: Mapping[str, str], **options: Any) -> "httpx.AsyncClient":
    """A client for that address. `options` are those of httpx. It imports httpx."""
    import httpx

    for name in ("httpx", "httpcore"):  # they log each URL, and the paths of webhooks and mods are secrets
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        trust_env=False,
        # httpx would load the authorities of certifi, also where no TLS is spoken.
        verify=ssl.create_default_context() if urlsplit(url).scheme == "https" else False,
        headers={"User-Agent": "dayz-relay", **headers},
        **options,
    )


def reason_of(error: BaseException) -> str:
    """The text of the operating system, which httpx keeps as the cause of a cause, or httpx's own text."""
    texts = [str(cause) for cause in causes_of(error) if isinstance(cause, OSError) and str(cause)]
    return texts[-1] if texts else str(error) or type(error).__name__


def causes_of(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
