"""One POST of JSON to a web address, within a time, and what came of it."""

import asyncio
import ssl
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from services.relay.service.redaction import MASK

POST_WITHIN_S = 10.0
MAX_HEAD_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """`wait_s`: so long the server asks to be left alone, 0 if it does not say."""

    status: int
    wait_s: float = 0.0

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def worth_another_try(self) -> bool:
        return self.status in (408, 425, 429) or self.status >= 500


async def post(url: str, body: bytes) -> Reply:
    """Raises OSError (TimeoutError and TLS are such), or ValueError when what answers speaks no HTTP.

    Redirects are not followed, and whatever the answer's body says is not read.
    """
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = (
        f"POST {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        "Content-Type: application/json\r\nUser-Agent: dayz-relay\r\nConnection: close\r\n"
        f"{_who(parts)}Content-Length: {len(body)}\r\n\r\n"
    ).encode("ascii")
    async with asyncio.timeout(POST_WITHIN_S):
        # Beside the loop: to load the authorities of the machine takes tens of ms.
        context = await asyncio.to_thread(ssl.create_default_context) if secure else None
        reader, writer = await asyncio.open_connection(
            host,
            parts.port or (443 if secure else 80),
            ssl=context,
            limit=MAX_HEAD_BYTES,
        )
        try:
            writer.write(request + body)
            await writer.drain()
            return _read(await reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise ValueError("it does not answer as a web server does") from None
        finally:
            writer.close()


def shown(url: str) -> str:
    """The address without what is secret of it: all that stands behind the host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{MASK}"


def _who(parts: SplitResult) -> str:
    """The header that says who we are, if the address has a name in it."""
    if not parts.username:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return f"Authorization: Basic {b64encode(pair).decode()}\r\n"


def _read(head: bytes) -> Reply:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ValueError("it does not answer as a web server does")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    try:
        wait_s = float(headers.get("retry-after", 0))
    except ValueError:
        wait_s = 0.0  # a date: our own pace does
    return Reply(int(rest[:3]), wait_s if 0 <= wait_s < 1e6 else 0.0)
