"""The time at which a request arrived is known, even if it was read or accepted later."""

import socket
import time
from collections.abc import Iterator

import pytest

from services.relay.service import arrivals
from services.relay.service.arrivals import ALIVE_EVERY_S, READ_WITHIN_S, TICK_S, Arrivals, CallerConnection
from tests.support.waiting import until_other_processes

linux = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="only Linux says when bytes came")


class Clocks:
    """The clocks of a machine, as the test sets them."""

    def __init__(self) -> None:
        self.slept_s = 0.0
        self.passed_s = 0.0

    def monotonic_s(self) -> float:
        return time.monotonic() + self.passed_s

    def boottime_s(self) -> float:
        return self.monotonic_s() + self.slept_s


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def connected(listener: socket.socket, data: bytes = b"x") -> socket.socket:
    client = socket.create_connection(listener.getsockname())
    client.sendall(data)
    return client


def made(clocks: Clocks) -> Arrivals:
    return Arrivals(clocks.boottime_s, clocks.monotonic_s)


def test_bytes_that_a_running_loop_reads_have_just_come(clocks: Clocks, listener: socket.socket) -> None:
    one = made(clocks)
    with connected(listener), listener.accept()[0] as sock:
        arrival = one.begun(CallerConnection(sock))
    assert not arrival.after_stall() and arrival.age_s() < 5.0


@linux
def test_after_a_standstill_each_request_is_as_old_as_its_bytes(
    clocks: Clocks, listener: socket.socket
) -> None:
    one = made(clocks)
    clocks.passed_s = 20.0  # it stood still, but these came only now: one at once, one a moment later
    with connected(listener) as first:
        until_other_processes(lambda: (known := arrivals.connection_info(first)) and known.silent_s >= 0.3)
        with connected(listener), listener.accept()[0] as old, listener.accept()[0] as new:
            older, newer = one.begun(CallerConnection(old)), one.begun(CallerConnection(new))
            assert older.after_stall() and newer.after_stall()
            assert 0.3 <= older.age_s() < 15.0
            assert newer.age_s() < older.age_s() - 0.2
            assert newer.at_s > older.at_s + 0.2 - TICK_S


@linux
def test_a_closed_connection_is_noticed_before_it_is_accepted(listener: socket.socket) -> None:
    connected(listener).close()
    with connected(listener), listener.accept()[0] as closed, listener.accept()[0] as open:
        assert Arrivals().begun(CallerConnection(closed)).is_closed() is True
        assert Arrivals().begun(CallerConnection(open)).is_closed() is False


def test_without_the_kernel_all_bytes_count_as_old_as_the_standstill(
    clocks: Clocks, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals.sys, "platform", "win32")
    one = made(clocks)
    clocks.passed_s = 20.0
    with connected(listener), listener.accept()[0] as sock:
        arrival = one.begun(CallerConnection(sock))
        assert arrival.age_s() >= 20.0
        assert arrival.is_closed() is None
        assert arrival.at_s == pytest.approx(clocks.monotonic_s(), abs=10.0)  # if not exactly, then too late
        for _ in range(int(READ_WITHIN_S / ALIVE_EVERY_S) + 1):
            one.alive()
            clocks.passed_s += ALIVE_EVERY_S
        assert one.begun(CallerConnection(sock)).age_s() < 10.0


def test_the_sleep_of_the_machine_counts_even_if_its_kernel_does_not_count_it(
    clocks: Clocks, listener: socket.socket
) -> None:
    one = made(clocks)
    clocks.slept_s = 3_600.0
    with connected(listener), listener.accept()[0] as sock:
        assert one.begun(CallerConnection(sock)).age_s() >= 3_600.0


def test_a_request_that_is_in_hand_grows_older_through_a_standstill(clocks: Clocks) -> None:
    one = made(clocks)
    arrival = one.begun(CallerConnection())
    clocks.slept_s = 5.0
    assert arrival.after_stall() and arrival.age_s() >= 5.0


def test_a_socket_that_is_not_tcp_is_not_asked(listener: socket.socket) -> None:
    left, right = socket.socketpair()
    with left, right:
        assert arrivals.connection_info(left) is None or left.family == socket.AF_INET
    assert arrivals.connection_info(left) is None and arrivals.connection_info(None) is None
