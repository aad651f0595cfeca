"""The lines of the log as an operator sees them: repetitions are not logged."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.relay.service.logs import PacedHandler


@contextmanager
def without_repetitions(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Inside, `caplog` gets the lines that the handler of every service lets through."""
    handler = PacedHandler(caplog.handler)
    logging.root.removeHandler(caplog.handler)
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
        logging.root.addHandler(caplog.handler)
