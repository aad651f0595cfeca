"""What a signal to stop does in a process, to its very end."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from services.relay.service.stop_signals import on_stop_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers_are_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_counts_while_the_loop_runs_and_does_nothing_after_its_end(number: signal.Signals) -> None:
    heard: list[str] = []

    async def until_stopped() -> None:
        stop = asyncio.Event()
        on_stop_signals(stop.set)
        signal.raise_signal(number)
        await stop.wait()
        heard.append("in time")

    asyncio.run(until_stopped())
    signal.raise_signal(number)  # a process takes some time to end after its loop
    assert heard == ["in time"]
