"""The log: one event a line, with its instance, without secrets, and safe against text that players wrote."""

import copy
import json
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import Any

from services.relay.service.log_rate_limit import LogRateLimit
from services.relay.service.redaction import Redaction

MESSAGE_CHARS = 4_000
TRACE_CHARS = 16_000

CHANGE: dict[str, object] = {"change": True}
"""The `extra` of a warning or error that begins or ends a state: it is logged, even if it was before."""

_redaction = Redaction()
hide, clean = _redaction.hide, _redaction.clean
"""They clean everything that a person reads, not the log alone."""

logger = logging.getLogger(__name__)

_logger_of = cache(logging.getLogger)  # it takes a lock, and uplink asks for one at each hint


class InstanceLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger of that name, with the instance in each line."""

    def __init__(self, name: str, slug: str) -> None:
        super().__init__(_logger_of(name), {"instance": slug})
        self._slug = slug

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        extra = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return f"[{self._slug}] {msg}", {**kwargs, "extra": extra}


def about(topic: str, kind: str = "") -> dict[str, object]:
    """The `extra` of a line with a topic, for a place in the code that logs lines about several things. With
    a `kind`, for topics that callers choose, each is logged once, and at most 30 of the kind a minute."""
    return {"about": topic, "kind": kind}


class PacedHandler(logging.Handler):
    """Passes each different line to `target` once, and sums up its repetitions each minute and at the end.

    A line is compared with those of the same place in the code, instance and topic. Lines of level INFO count
    as changes: they report what happened, and only their number is bounded.
    """

    def __init__(
        self,
        target: logging.Handler,
        clock: Callable[[], float] = time.monotonic,
        pace: LogRateLimit[logging.LogRecord] | None = None,
    ) -> None:
        super().__init__()
        self._target = target
        self._clock = clock
        self._pace = pace or LogRateLimit[logging.LogRecord]()
        self._woken = threading.Condition(self.lock)
        self._summing: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        now_s = self._clock()
        self.sum_up(now_s)
        change = record.levelno <= logging.INFO or getattr(record, "change", False)
        kind = getattr(record, "kind", "")
        about = getattr(record, "instance", ""), getattr(record, "about", "")
        place = record.name, record.lineno, record.levelno, *about
        # A copy with its text alone: its arguments and its exception may refer to large objects.
        line = copy.copy(record)
        line.msg, line.args, line.exc_info = _text(record)[:MESSAGE_CHARS], None, None
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
        """Logs how often lines were repeated, if their minute is over."""
        with self._woken:
            for summary in self._pace.due(now_s, all_of_them=all_of_them):
                line = copy.copy(summary.last)
                line.created = time.time()
                line.msg = f"{summary.more} more in {summary.within_s:.0f} s, the last: {line.msg}"
                self._target.handle(line)

    def flush(self) -> None:
        """Logs all counts. `logging` calls it when the process ends."""
        self.sum_up(self._clock(), all_of_them=True)
        self._target.flush()

    def _keep_summing(self) -> None:
        """Logs summaries when they are due, because no later line may come that would cause them."""
        with self._woken:
            while (due_s := self._pace.next_s) is not None:
                self._woken.wait(max(0.05, due_s - self._clock()))
                self.sum_up(self._clock())
            self._summing = None


class TextFormatter(logging.Formatter):
    """For people. A traceback behind a line is indented, so that no part of it looks like another line."""

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


def configure(service: str, form: str = "text") -> None:
    """Sends the log and uncaught exceptions to standard error. `form` is `log.format` of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter if form == "json" else TextFormatter
    handler.setFormatter(formatter(service))
    logging.basicConfig(level=logging.INFO, handlers=[PacedHandler(handler)], force=True)
    logging.raiseExceptions = False  # an error about a bad line would repeat its text with the secrets
    # These log single connections. The relay logs what matters of them, with the instance.
    for name in ("uvicorn", "websockets", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = uncaught
    threading.excepthook = sys.unraisablehook = _uncaught_elsewhere


def printable(text: str) -> str:
    """The text on one line. Characters that move the cursor or reverse the direction are escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Logs an uncaught exception, in place of Python's own output."""
    if not issubclass(kind, Exception):  # Ctrl-C, exit
        sys.__excepthook__(kind, error, trace)
        return
    if not logging.root.handlers:
        configure("cli")
    logger.critical("a fault of the program: please report it", exc_info=(kind, error, trace))


def _uncaught_elsewhere(thrown: Any) -> None:
    uncaught(thrown.exc_type, thrown.exc_value or thrown.exc_type(), thrown.exc_traceback)


def _message(record: logging.LogRecord) -> str:
    return clean(_text(record))[:MESSAGE_CHARS]


def _text(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # the arguments do not fit the text: log the text alone
        return str(record.msg)


def _trace(record: logging.LogRecord) -> str:
    """The traceback, or its end if it is long: the exception itself is at the end."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return clean("".join(traceback.format_exception(record.exc_info[1])))[-TRACE_CHARS:]
