"""The log lines that an operator sees, without repetitions."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.relay.service.logs import PacedHandler


@contextmanager
def without_repetitions(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Within this context `caplog` gets only what the handler of every service lets through."""
    handler = PacedHandler(caplog.handler)
    logging.root.removeHandler(caplog.handler)
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
        logging.root.addHandler(caplog.handler)
