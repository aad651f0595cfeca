"""One POST of JSON to a webhook."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from services.relay.service.http.client import call
from services.relay.service.redaction import MASK

POST_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """`wait_s`: how long the server asks not to be called, 0 if it does not say."""

    status: int
    taken: bool
    wait_s: float

    @property
    def worth_another_try(self) -> bool:
        return self.status in (408, 425, 429) or self.status >= 500


async def post(url: str, body: bytes, within_s: float = POST_WITHIN_S) -> Reply:
    """Sends `body`. The body of the answer is not read. Raises what `call` raises."""
    answer = await call("POST", url, within_s=within_s, max_bytes=0, json_body=body)
    return Reply(answer.status, answer.succeeded, _wait_s(answer.headers.get("Retry-After", "")))


def shown(url: str) -> str:
    """The address without its secrets: a name, a password, and everything after the host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{MASK}"


def _wait_s(retry_after: str) -> float:
    try:
        wait_s = float(retry_after)
    except ValueError:
        return 0.0  # nothing, or a date: the sender's own pauses apply
    return wait_s if 0 <= wait_s < 1e6 else 0.0
