"""The log agent's POST to the relay, one at a time, as the mod makes them."""

import asyncio
import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from services.relay.service.http.client import call

ANSWER_WITHIN_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024


class NotTaken(Exception):
    """The relay did not take the lines, or may not have. The text is for people and holds no secret."""


def post(url: str, lines: Sequence[str]) -> None:
    """Send these lines to the relay at `url`, the TakaroApiUrl of the mod. Raises NotTaken."""
    to = f"{url.rstrip('/')}/gameserver/agent/events"
    events = {"events": [{"type": "log", "msg": line} for line in lines]}
    body = json.dumps(events, ensure_ascii=False).encode()
    try:
        answer = asyncio.run(
            call("POST", to, within_s=ANSWER_WITHIN_S, max_bytes=MAX_ANSWER_BYTES, json_body=body)
        )
    except (OSError, ValueError) as error:
        raise NotTaken(f"{urlsplit(url).hostname}: {error or type(error).__name__}") from None
    if answer.status == 401:
        raise NotTaken("401: the key in DAYZ_RELAY_URL opens no server")
    if not answer.succeeded:
        raise NotTaken(f"it answered {answer.status}")
    if not answer.body:
        raise NotTaken("its answer was empty: is that the relay?")
