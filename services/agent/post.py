"""The way to the relay: one POST at a time, as the mod makes them."""

import http.client
import json
from collections.abc import Sequence
from urllib.parse import urlsplit

ANSWER_WITHIN_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024


class NotTaken(Exception):
    """The relay does not have it, or it is not known. The words are for a person and hold no secret."""


class Relay:
    """The relay at `url`, which is what the mod has as TakaroApiUrl."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._host, self._port = parts.hostname or "", parts.port
        self._path = f"{parts.path.rstrip('/')}/gameserver/agent/events"

    def post(self, lines: Sequence[str]) -> None:
        """Sends these lines. Raises NotTaken."""
        body = json.dumps({"events": [{"type": "log", "msg": line} for line in lines]}, ensure_ascii=False)
        connection = self._connection(self._host, self._port, timeout=ANSWER_WITHIN_S)
        try:
            connection.request("POST", self._path, body.encode(), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = answer.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise NotTaken(f"{self._host}: {error or type(error).__name__}") from None
        finally:
            connection.close()
        if answer.status == 401:
            raise NotTaken("401: the key in DAYZ_RELAY_URL opens no server")
        if not 200 <= answer.status < 300:
            raise NotTaken(f"it answered {answer.status}")
        if not told:
            raise NotTaken("its answer was empty: is that the relay?")
