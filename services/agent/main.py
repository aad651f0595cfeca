"""The log agent: runs on the machine of the game server and sends its logs to the relay."""

import asyncio
import json
import logging
import random
import signal
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from services.agent import state
from services.agent.files import KnownFile, LogPosition
from services.agent.outbox import Outbox
from services.agent.repeats import Repeats
from services.agent.settings import AgentSettings
from services.agent.tail import Tail
from services.relay.service import logs
from services.relay.service.http.client import call
from services.relay.service.token_bucket import TokenBucket

READ_EVERY_S = 1.0
BURST_S = 10.0  # unused rate adds up for this long, because a game server writes many lines at once

ANSWER_WITHIN_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_DELAY_S = 30.0

logger = logging.getLogger(__name__)


def run(settings: AgentSettings) -> None:
    """Sends log lines until SIGINT or SIGTERM."""
    logs.configure("agent")
    logs.hide("agent", [part for part in urlsplit(settings.url).path.split("/") if len(part) >= 16])
    agent = Agent(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: agent.stop())
    logger.info("sends the logs of %s, %g lines a second at most", settings.logs, settings.max_per_s)
    while not agent.stopping:
        agent.read(time.monotonic())
        agent.send()
        time.sleep(READ_EVERY_S)
    logger.info("stopped")


class NotTaken(Exception):
    """The relay did not take the lines, or may not have. The text is for people and holds no secret."""


class Agent:
    """Reads log lines into the outbox and posts them. It saves what the relay has taken: a restarted agent
    continues there."""

    def __init__(
        self, settings: AgentSettings, outbox: Outbox | None = None, max_delay_s: float = MAX_DELAY_S
    ) -> None:
        self.stopping = False
        self._settings = settings
        self._saved = True
        self._done: dict[KnownFile, LogPosition] | None = None
        before = state.load(settings.state)
        self._tail = Tail(settings.logs, before)
        # Save even without any log: then the next agent knows that all logs are newer than this one.
        self._remember_all()
        self._repeats = Repeats()
        self._rate = TokenBucket(settings.max_per_s, settings.max_per_s * BURST_S, time.monotonic())
        self._outbox = Outbox() if outbox is None else outbox
        self._dropped = 0
        self._failures = 0  # in a row
        self._again_s = 0.0
        self._max_delay_s = max_delay_s

    def stop(self) -> None:
        """Called by a signal handler, so it takes no lock."""
        self.stopping = True

    def read(self, now_s: float) -> None:
        """Read what is new in the logs."""
        for read in self._tail.read():
            if any(pattern.search(read.text) for pattern in self._settings.deny):
                continue
            if self._repeats.is_repeat(read.kind, read.text, now_s):
                continue
            if not (self._rate.admits(now_s) and self._outbox.add(read.text, read.file, read.offset)):
                self._dropped += 1
        if self._dropped and self._outbox.add(f"dayz-relay agent: {self._dropped} log lines dropped"):
            self._dropped = 0

    def send(self) -> None:
        """Send what waits, except soon after a failure, and save how far the relay has taken it."""
        while self._outbox and not self.stopping and time.monotonic() >= self._again_s:
            lines = self._outbox.batch()
            try:
                post(self._settings.url, lines)
            except NotTaken as error:
                if not self._failures:
                    logger.warning(
                        "the relay does not take log lines, they wait: %s", error, extra=logs.CHANGE
                    )
                self._failures += 1
                delay_s = min(self._max_delay_s, 2.0 ** min(self._failures, 10))
                self._again_s = time.monotonic() + random.uniform(min(READ_EVERY_S, delay_s), delay_s)
                break
            if self._failures:
                logger.info("the relay is there again")
            self._failures = 0
            self._remember({file: file.at(offset) for file, offset in self._outbox.sent(len(lines)).items()})
        if not self._outbox:  # lines that are not sent count as done, too
            self._remember_all()

    def _remember_all(self) -> None:
        self._remember({file: file.position for file in self._tail.known.files})

    def _remember(self, positions: Mapping[KnownFile, LogPosition]) -> None:
        """Saves how far these logs are done. The oldest of many deleted logs are forgotten."""
        known = set(self._tail.known.files)
        done = {**(self._done or {}), **positions}
        done = {file: position for file, position in done.items() if file in known}
        if done == self._done:
            return
        try:
            state.save(self._settings.state, done.values())
        except OSError as error:
            if self._saved:
                logger.warning("%s cannot be written: %s", self._settings.state, error.strerror)
            self._saved = False
            return
        self._done, self._saved = done, True


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
        raise NotTaken(f"{urlsplit(url).hostname}: {error}") from None
    if answer.status == 401:
        raise NotTaken("401: the key in DAYZ_RELAY_URL opens no server")
    if not answer.succeeded:
        raise NotTaken(f"it answered {answer.status}")
    if not answer.body:
        raise NotTaken("its answer was empty: is that the relay?")
