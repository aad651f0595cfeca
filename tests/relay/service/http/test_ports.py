"""The ports that the relay listens on: at which addresses each host answers, and the errors for wrong
ones."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from services.relay.protocol.errors import AddressInUse, ConfigError
from services.relay.service.http.addresses import dialled_host
from services.relay.service.http.ports import bind

dual_stack = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


@contextlib.contextmanager
def bound(host: str, key: str = "modapi.port") -> Iterator[int]:
    with bind(host, 0, key) as listening:
        yield listening.getsockname()[1]


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=30).close()
    except OSError:
        return False
    return True


@dual_stack
def test_the_ipv6_wildcard_answers_ipv4_too() -> None:
    with bound("::") as port:
        assert answers("127.0.0.1", port) and answers("::1", port)


@dual_stack
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost"])
def test_every_host_answers_at_the_address_that_is_shown_for_it(host: str) -> None:
    with bound(host) as port:
        assert answers(dialled_host(host), port)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("no-such-machine.invalid", "modapi.host: no-such-machine.invalid is not known"),
        ("192.0.2.1", "modapi.host: 192.0.2.1 is no address of this machine"),
        ("fe80::1", "modapi.host: fe80::1"),
    ],
)
def test_a_wrong_host_is_named_as_the_cause(host: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught, bound(host):
        pass
    assert str(caught.value).startswith(words)
    assert "another relay" not in str(caught.value)


def test_a_wrong_admin_host_is_named_by_its_own_setting() -> None:
    with pytest.raises(ConfigError, match=r"^uplink\.admin_host: "), bound("192.0.2.1", "uplink.admin_port"):
        pass


def test_a_port_that_is_taken_is_reported_as_taken() -> None:
    with bound("127.0.0.1") as port, pytest.raises(AddressInUse) as caught:
        bind("127.0.0.1", port, "modapi.port")
    assert str(caught.value).startswith(f"modapi.port: cannot listen on 127.0.0.1:{port} ")
    assert "another relay" in str(caught.value)


def test_without_ipv6_the_error_for_the_wildcard_has_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with pytest.raises(ConfigError, match=r'^modapi\.host: this machine .* IPv6.*"0\.0\.0\.0"'), bound("::"):
        pass
