"""The log: one event a line, the instance named, no secret in it, nothing a player wrote that breaks out."""

import copy
import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from services.relay.service.log_rate_limit import LogRateLimit, Summary
from services.relay.service.redaction import Redaction, secrets_in
from services.relay.service.settings import Settings

MESSAGE_CHARS = 4_000
TRACE_CHARS = 16_000

CHANGE: dict[str, object] = {"change": True}
"""Given as `extra` to a warning or error that begins or ends a state. It is logged although it was before."""

_redaction = Redaction()

logger = logging.getLogger(__name__)


class InstanceLogger(logging.LoggerAdapter[logging.Logger]):
    """Names the instance in each line."""

    def __init__(self, logger: logging.Logger, slug: str) -> None:
        super().__init__(logger, {"instance": slug})
        self._slug = slug

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        extra = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return f"[{self._slug}] {msg}", {**kwargs, "extra": extra}


def about(topic: str, kind: str = "") -> dict[str, object]:
    """Given as `extra`: the topic of a line, where one place in the code logs lines about several things.

    With a `kind`, each topic is logged once, and at most 30 lines of the kind a minute: for topics that any
    number of callers choose.
    """
    return {"about": topic, "kind": kind}


class PacedHandler(logging.Handler):
    """Passes each different line to `target` once, and sums up its repetitions each minute and at the end.

    A line is compared with those of the same place in the code, instance and topic. Lines of level INFO count
    as changes: they report what happened, and only their number is bounded.
    """

    def __init__(self, target: logging.Handler, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._target = target
        self._clock = clock
        self._pace = LogRateLimit[logging.LogRecord]()
        self._woken = threading.Condition(self.lock)
        self._summing: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        now_s = self._clock()
        self.sum_up(now_s)
        instance, topic = getattr(record, "instance", ""), getattr(record, "about", "")
        change = record.levelno <= logging.INFO or getattr(record, "change", False)
        kind = getattr(record, "kind", "")
        place = record.name, record.lineno, record.levelno, instance, topic
        line = _line(record)
        error = record.exc_info[1] if record.exc_info else None
        if self._pace.admits(
            place,
            f"{error!r} {line.msg}",
            line,
            now_s,
            change=change,
            kind=(*place[:2], kind) if kind else None,
        ):
            self._target.handle(record)
        elif self._summing is None:
            self._summing = threading.Thread(target=self._keep_summing, name="log", daemon=True)
            self._summing.start()

    def sum_up(self, now_s: float, *, all_of_them: bool = False) -> None:
        """Logs how often lines were repeated, where a minute is over."""
        with self._woken:
            for summary in self._pace.due(now_s, all_of_them=all_of_them):
                self._target.handle(_summed_up(summary))

    def flush(self) -> None:
        """To be called at the end: by logging itself, when the process ends."""
        self.sum_up(self._clock(), all_of_them=True)
        self._target.flush()

    def _keep_summing(self) -> None:
        """Nothing may follow that would bring the summary along."""
        with self._woken:
            while (due_s := self._pace.next_s) is not None:
                self._woken.wait(max(0.05, due_s - self._clock()))
                self.sum_up(self._clock())
            self._summing = None


def _line(record: logging.LogRecord) -> logging.LogRecord:
    """A record with its text alone: what its arguments and its exception hold on to may be large."""
    line = copy.copy(record)
    line.msg, line.args, line.exc_info = _text(record)[:MESSAGE_CHARS], None, None
    return line


def _summed_up(summary: Summary[logging.LogRecord]) -> logging.LogRecord:
    line = copy.copy(summary.last)
    line.created = time.time()
    line.msg = f"{summary.more} more in {summary.within_s:.0f} s, the last: {line.msg}"
    return line


class TextFormatter(logging.Formatter):
    """For people. What follows a line, a traceback, is indented: it cannot be taken for a line of its own."""

    def __init__(self, service: str) -> None:
        super().__init__(f"%(asctime)s {service:<6} %(levelname)-7s %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        record.message = printable(_message(record))
        record.asctime = self.formatTime(record, self.datefmt)
        trace = [f"    {printable(line)}" for line in _trace(record).splitlines()]
        return "\n".join([self.formatMessage(record), *trace])


class JsonFormatter(logging.Formatter):
    """For programs: one object a line, all of it ASCII."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "instance": getattr(record, "instance", None),
            "message": _message(record),
            "trace": _trace(record),
            "logger": record.name,
        }
        return json.dumps({name: value for name, value in fields.items() if value})


def configure(service: str, settings: Settings | None = None) -> None:
    """Sends the log of this process to standard error, marked with the name of the service, and with it
    whatever nobody catches. The secrets of these settings are hidden."""
    settings = settings or Settings()
    hide("settings", secrets_in(settings))
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter if settings.log.format == "json" else TextFormatter
    handler.setFormatter(formatter(service))
    logging.basicConfig(level=logging.INFO, handlers=[PacedHandler(handler)], force=True)
    logging.raiseExceptions = False  # the complaint about a bad line repeats, unfiltered, what was in it
    # These speak of single connections; what matters of them is logged by us, with the instance.
    for name in ("uvicorn", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = uncaught
    threading.excepthook = lambda thrown: uncaught(
        thrown.exc_type, thrown.exc_value or thrown.exc_type(), thrown.exc_traceback
    )
    sys.unraisablehook = lambda thrown: uncaught(
        thrown.exc_type, thrown.exc_value or thrown.exc_type(), thrown.exc_traceback
    )


def hide(source: str, secrets: Iterable[str]) -> None:
    """From now on these do not appear in the log, in place of those that this source named before."""
    _redaction.hide(source, secrets)


def clean(text: str) -> str:
    """The text without secrets, for whatever else a person reads."""
    return _redaction.clean(text)


def printable(text: str) -> str:
    """Text of others on one line: what would move the cursor or turn the direction of the line is escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python does with an exception that nobody catches, by way of the log."""
    if not issubclass(kind, Exception):  # Ctrl-C, exit
        sys.__excepthook__(kind, error, trace)
        return
    if not logging.root.handlers:
        configure("cli")
    logger.critical("a fault of the program: please report it", exc_info=(kind, error, trace))


def _message(record: logging.LogRecord) -> str:
    return _redaction.clean(_text(record))[:MESSAGE_CHARS]


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # the words do not fit the values: better half of it than nothing
        return str(record.msg)


def _trace(record: logging.LogRecord) -> str:
    """What went wrong where, its end if it is long: the exception itself stands there."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return _redaction.clean("".join(traceback.format_exception(record.exc_info[1])))[-TRACE_CHARS:]
