"""Addresses of listeners and of callers, and what proxies say of callers. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERY_IPV4, EVERY_ADDRESS = "0.0.0.0", "::"
"""The hosts on which a listener answers at all addresses of its machine; on the second by IPv4 and IPv6."""

_IPV6_SITE_BITS = 64
_ADDRESSES_KEPT = 1_000


def is_every_address(host: str) -> bool:
    """Whether a listener on `host` answers at all addresses of its machine."""
    return host in (EVERY_IPV4, EVERY_ADDRESS)


def dialled_host(host: str) -> str:
    """The host at which a program on this machine reaches a listener on `host`."""
    return "127.0.0.1" if is_every_address(host) else host


def host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_url(text: str, *schemes: str) -> bool:
    """Whether it is a URL of one of these schemes, with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:
        return False


def is_host(text: str) -> bool:
    """Whether it can be looked up: for a name with an empty part, or with one of more than 63 characters,
    Python raises no OSError but UnicodeError."""
    try:
        return bool(text.encode("idna"))
    except UnicodeError:
        return False


@lru_cache(_ADDRESSES_KEPT)  # a fleet has few addresses, and each of its calls asks
def plain(address: str) -> str:
    """The plain address of a caller: a listener on "::" sees IPv4 addresses as ::ffff:192.0.2.1."""
    read = address_of(address) if address.startswith("::ffff:") else None
    return str(read or address)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks from their texts, which the settings have checked."""
    return tuple(ipaddress.ip_network(text) for text in texts)


@lru_cache(_ADDRESSES_KEPT)
def source_of(address: str) -> str:
    """The unit by which callers are counted: an IPv4 address, or the network of an IPv6 address, because its
    owner chooses the rest freely."""
    if ":" not in address:
        return address
    read = address_of(address)
    if isinstance(read, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((read, _IPV6_SITE_BITS), strict=False))
    return str(read or address)


def is_in(address: str, trusted: Sequence[Network]) -> bool:
    read = address_of(address) if trusted else None
    return read is not None and any(read in network for network in trusted)


def caller(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address that a request comes from. `forwarded` are the values of its X-Forwarded-For headers.

    Each proxy adds the address that called it, at the end. So the caller is the last address that is not a
    trusted proxy. The caller may have written what stands before it.
    """
    if not forwarded or not is_in(peer, trusted):
        return peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops):
        if hop.startswith("["):
            hop = hop[1:].partition("]")[0]
        elif hop.count(":") == 1:
            hop = hop.partition(":")[0]
        read = address_of(hop)
        if read is None:
            break  # no trusted proxy writes that
        peer = str(read)
        if not is_in(peer, trusted):
            break
    return peer


def address_of(text: str) -> Address | None:
    """The address in the text, without its interface; None: it is no address."""
    try:
        read = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(read, "ipv4_mapped", None) or read
