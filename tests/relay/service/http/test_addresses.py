"""The address of a caller behind proxies."""

import pytest

from services.relay.service.http.addresses import caller, host_and_port, is_in, networks, plain, source_of

TRUSTED = networks(["127.0.0.0/8", "10.0.0.0/24", "::1/128"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("9.9.9.9", [], "9.9.9.9"),
        ("9.9.9.9", ["1.2.3.4"], "9.9.9.9"),  # a stranger may write what it likes
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("127.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # the first one the stranger has written
        ("127.0.0.1", ["6.6.6.6", "1.2.3.4, 10.0.0.3"], "1.2.3.4"),
        ("127.0.0.1", ["10.0.0.5, 10.0.0.3"], "10.0.0.5"),
        ("127.0.0.1", ["1.2.3.4, nonsense"], "127.0.0.1"),
        ("127.0.0.1", ["nonsense, 1.2.3.4:5678"], "1.2.3.4"),
        ("::1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("::ffff:127.0.0.1", ["1.2.3.4"], "1.2.3.4"),
        ("127.0.0.1", [""], "127.0.0.1"),
    ],
)
def test_the_caller_is_the_last_one_that_is_not_trusted(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert caller(peer, forwarded, TRUSTED) == expected


def test_without_trusted_networks_no_forwarded_address_counts() -> None:
    assert caller("127.0.0.1", ["1.2.3.4"], ()) == "127.0.0.1"
    assert not is_in("127.0.0.1", ())


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("", ""),
        (":::", ":::"),
    ],
)
def test_callers_are_counted_by_a_network_that_they_cannot_choose(address: str, source: str) -> None:
    assert source_of(address) == source


@pytest.mark.parametrize(
    ("host", "written"), [("127.0.0.1", "127.0.0.1:8088"), ("::", "[::]:8088"), ("name", "name:8088")]
)
def test_an_ipv6_address_stands_in_brackets(host: str, written: str) -> None:
    assert host_and_port(host, 8088) == written


@pytest.mark.parametrize(
    ("address", "shown"),
    [("::ffff:192.0.2.1", "192.0.2.1"), ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("", "")],
)
def test_an_ipv4_caller_of_an_ipv6_listener_is_shown_by_its_ipv4_address(address: str, shown: str) -> None:
    assert plain(address) == shown
