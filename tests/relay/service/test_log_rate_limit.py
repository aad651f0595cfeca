"""A repeated line is logged once, then with the number of its repetitions."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.relay.service.log_rate_limit import (
    MOST_LINES,
    MOST_LINES_OF_KIND,
    MOST_TOPICS,
    SUM_UP_EVERY_S,
    LogRateLimit,
)
from services.relay.service.logs import CHANGE, InstanceLogger, PacedHandler, about

logger = logging.getLogger("services.test of the pace")


class KeptLines(logging.Handler):
    """Keeps the texts of all lines."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))
        self.came.set()


class Log:
    """A log whose clock the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lines = KeptLines()
        self.handler = PacedHandler(self.lines, lambda: self.now_s)

    @property
    def texts(self) -> list[str]:
        return self.lines.texts

    def pass_minute(self) -> None:
        self.now_s += SUM_UP_EVERY_S
        self.handler.sum_up(self.now_s)


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    logger.addHandler(made.handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield made
    logger.removeHandler(made.handler)


def test_repeated_lines_are_logged_once_and_summed_up_each_minute(log: Log) -> None:
    for minute in range(3):
        for _ in range(500):
            logger.warning("Takaro refused something: %s", "too much")
        log.pass_minute()
        assert len(log.texts) == 2 + minute
    assert log.texts[:2] == [
        "Takaro refused something: too much",
        "499 more in 60 s, the last: Takaro refused something: too much",
    ]
    assert log.texts[2].startswith("500 more in 60 s")


def test_texts_from_outside_that_differ_do_not_defeat_the_limit(log: Log) -> None:
    for number in range(1_000):
        logger.warning("Takaro refused something: %s", f"request {number}")
    log.pass_minute()
    assert len(log.texts) == MOST_LINES + 1
    assert log.texts[-1] == "990 more in 60 s, the last: Takaro refused something: request 999"


def test_texts_in_the_message_itself_do_not_defeat_the_limit_either(log: Log) -> None:
    for number in range(1_000):
        logger.error(f"request {number}")
    assert len(log.texts) == MOST_LINES


def test_each_instance_has_its_own_lines(log: Log) -> None:
    for _ in range(100):
        for slug in ("a", "b"):
            InstanceLogger(logger.name, slug).warning("it is away")
    assert log.texts == ["[a] it is away", "[b] it is away"]


def test_each_topic_of_one_place_has_its_own_lines(log: Log) -> None:
    for number in range(100):
        for topic in ("no key", "wrong key"):
            logger.warning("from %s: %s", number, topic, extra=about(topic))
    assert len(log.texts) == 2 * MOST_LINES


def refuse(topic: str, address: str, kind: str) -> None:
    logger.warning("from %s: refused", address, extra=about(topic, kind))


def test_a_line_with_a_kind_is_logged_once_a_minute_for_each_topic(log: Log) -> None:
    for number in range(20):
        refuse("one network", f"address {number}", "401")
    refuse("another network", "address 7", "401")
    assert log.texts == ["from address 0: refused", "from address 7: refused"]
    log.pass_minute()
    assert log.texts[2:] == ["19 more in 60 s, the last: from address 19: refused"]


def test_lines_of_a_kind_are_bounded_with_any_number_of_topics(log: Log) -> None:
    for number in range(MOST_LINES_OF_KIND + 100):
        refuse(f"topic {number}", "an address", "401")
    refuse("a topic", "an address", "413")  # other kinds are not silenced
    assert len(log.texts) == MOST_LINES_OF_KIND + 1
    log.pass_minute()
    assert log.texts[-1] == "100 more in 60 s, the last: from an address: refused"
    refuse("a new topic", "an address", "401")
    assert log.texts[-1] == "from an address: refused"


def test_a_million_topics_of_a_kind_take_no_memory() -> None:
    pace = LogRateLimit[int]()
    for topic in range(100_000):
        pace.admits(topic, "", 0, 0.0, kind="401")
    assert len(list(pace.due(0.0, all_of_them=True))) == 1


def test_other_places_in_the_code_are_still_logged(log: Log) -> None:
    for _ in range(100):
        logger.warning("one")
    logger.warning("other")
    assert log.texts == ["one", "other"]


def test_a_traceback_that_repeats_itself_is_logged_once(log: Log) -> None:
    for number in range(100):
        try:
            raise ValueError("broken" if number < 99 else "broken otherwise")
        except ValueError:
            logger.exception("it failed")
    assert len(log.texts) == 2
    assert all(text.startswith("it failed\nTraceback") for text in log.texts)
    log.pass_minute()
    assert log.texts[2:] == ["98 more in 60 s, the last: it failed"]


def test_a_change_is_logged_again_so_that_the_last_line_is_true(log: Log) -> None:
    for _ in range(3):
        logger.warning("the store is away", extra=CHANGE)
        logger.info("the store is back")
    assert log.texts == ["the store is away", "the store is back"] * 3


def test_a_state_that_flaps_without_end_is_bounded_too(log: Log) -> None:
    for _ in range(1_000):
        InstanceLogger(logger.name, "a").warning("away", extra=CHANGE)
        InstanceLogger(logger.name, "a").info("back")
    log.pass_minute()
    assert len(log.texts) == 2 * (MOST_LINES + 1)
    assert {text.rpartition(": ")[2] for text in log.texts[-2:]} == {"[a] away", "[a] back"}


def test_a_line_that_did_not_come_for_a_minute_is_logged_again(log: Log) -> None:
    logger.warning("away")
    log.pass_minute()
    logger.warning("away")
    assert log.texts == ["away", "away"]


def test_the_summary_comes_when_no_line_follows() -> None:
    lines = KeptLines()
    handler = PacedHandler(lines, pace=LogRateLimit(0.2))
    for _ in range(3):
        handler.handle(logging.LogRecord("services.x", logging.WARNING, "x.py", 1, "away", (), None))
    lines.came.clear()
    assert lines.came.wait(10)
    assert lines.texts[1].startswith("2 more in ")


def test_the_summary_comes_when_the_process_ends(log: Log) -> None:
    for _ in range(3):
        logger.warning("away")
    log.handler.flush()
    log.handler.flush()
    assert log.texts == ["away", "2 more in 0 s, the last: away"]


def test_a_remembered_line_keeps_no_argument_and_no_frame(log: Log) -> None:
    pace = LogRateLimit[logging.LogRecord]()
    handler = PacedHandler(log.lines, lambda: 0.0, pace)
    for _ in range(2):
        try:
            raise ValueError
        except ValueError as error:
            record = logging.LogRecord(
                "services.x", logging.ERROR, "x.py", 1, "%s", ("x" * 1_000_000,), (ValueError, error, None)
            )
            handler.handle(record)
    [summary] = pace.due(1_000.0)
    assert (summary.last.args, summary.last.exc_info) == (None, None)
    assert len(summary.last.msg) < 5_000


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 50), st.floats(0.0, 100.0), st.booleans()), max_size=200
    )
)
def test_every_line_is_logged_or_counted_and_no_minute_has_more_than_the_bound(
    lines: list[tuple[int, int, float, bool]],
) -> None:
    pace, now_s, logged, counted = LogRateLimit[int](), 0.0, 0, 0
    at: dict[int, list[float]] = {}
    for topic, text, wait_s, change in lines:
        now_s += wait_s
        counted += sum(summary.more for summary in pace.due(now_s))
        if pace.admits((topic, change), str(text), text, now_s, change=change):
            logged += 1
            at.setdefault(2 * topic + change, []).append(now_s)
    counted += sum(summary.more for summary in pace.due(now_s, all_of_them=True))
    assert logged + counted == len(lines)
    for times in at.values():
        for first in times:
            assert sum(first <= one < first + SUM_UP_EVERY_S for one in times) <= 2 * MOST_LINES


def test_memory_is_bounded() -> None:
    pace = LogRateLimit[int]()
    told = 0
    for number in range(3 * MOST_TOPICS):
        for _ in range(2):
            pace.admits(number, "x" * 1_000, 0, 0.0)
        told += len(list(pace.due(0.0)))
    assert told >= 2 * MOST_TOPICS - 1
    assert len(list(pace.due(0.0, all_of_them=True))) <= MOST_TOPICS + 1


def test_the_log_of_every_process_has_the_limit_and_sums_up_at_the_end() -> None:
    flood = (
        "import logging; from services.relay.service import logs; logs.configure('uplink')\n"
        "for _ in range(1000): logging.getLogger('services.x').error('broken')"
    )
    done = subprocess.run([sys.executable, "-c", flood], capture_output=True, text=True, timeout=60)
    first, last = done.stderr.splitlines()
    assert first.endswith("ERROR   broken")
    assert "999 more in " in last and last.endswith("the last: broken")
