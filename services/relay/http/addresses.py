"""Whose request is it? Addresses of callers, and what proxies say of them. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV6_SITE_BITS = 64


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks from their texts, which the settings have checked."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def source_of(address: str) -> str:
    """By what callers are counted: an IPv4 address, or the network of an IPv6 one, whose rest its owner may
    choose at will."""
    if ":" not in address:
        return address
    read = _read(address)
    if isinstance(read, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((read, _IPV6_SITE_BITS), strict=False))
    return str(read or address)


def is_in(address: str, trusted: Sequence[Network]) -> bool:
    """Does the address belong to one of these networks?"""
    read = _read(address) if trusted else None
    return read is not None and any(read in network for network in trusted)


def caller(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address that a request comes from. `forwarded` are the values of its X-Forwarded-For headers.

    Each proxy adds whom it heard, at the end; so the last one that is not a trusted proxy is the caller.
    What stands before it the caller has written, whatever it likes.
    """
    if not forwarded or not is_in(peer, trusted):
        return peer
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    for hop in reversed(hops):
        read = _read(_without_port(hop))
        if read is None:
            break  # no proxy of ours writes that
        peer = str(read)
        if not is_in(peer, trusted):
            break
    return peer


def _read(text: str) -> Address | None:
    try:
        read = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(read, "ipv4_mapped", None) or read


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
