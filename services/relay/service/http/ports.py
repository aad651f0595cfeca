"""Opens the ports that the relay listens on. It does not import uvicorn, which `up` does not need."""

import errno
import socket

from services.relay.protocol.errors import AddressInUse, ConfigError
from services.relay.service.http.addresses import EVERY_ADDRESS, EVERY_IPV4, host_and_port

BACKLOG = 2048


def bind(host: str, port: int, key: str) -> socket.socket:
    """A listening socket; on "::" it answers IPv4 too.

    Raises AddressInUse or ConfigError. `key` is the setting of the port, as in "modapi.admin_port". For a
    wrong host the error names the setting of the host.
    """
    host_key = key.replace("port", "host")
    dual_stack = host == EVERY_ADDRESS
    if dual_stack and not socket.has_dualstack_ipv6():
        raise ConfigError(
            f'{host_key}: this machine cannot serve IPv4 and IPv6 on one port: write "{EVERY_IPV4}", or one'
            " address"
        )
    try:
        families = [found[0] for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise ConfigError(
            f"{host_key}: {host} is not known as a name of any machine ({error.strerror or error}): write an"
            " address of this one"
        ) from error
    family = socket.AF_INET if socket.AF_INET in families else families[0]
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dual_stack)
    except OSError as error:
        raise _refused(error, host, port, key, host_key) from error


def _refused(error: OSError, host: str, port: int, key: str, host_key: str) -> ConfigError:
    at = host_and_port(host, port)
    # `create_server` adds the address to the system's words.
    reason = (error.strerror or str(error)).partition(" (while attempting")[0]
    match error.errno:
        case errno.EADDRINUSE:
            return AddressInUse(
                f"{key}: cannot listen on {at} ({reason}). Is another relay, or the old bridge,"
                " running? Otherwise choose another port."
            )
        case errno.EACCES:
            return ConfigError(f"{key}: this user may not listen on {at}: choose a port above 1023")
        case errno.EADDRNOTAVAIL:
            return ConfigError(
                f"{host_key}: {host} is no address of this machine: write one that is, or"
                f' "{EVERY_IPV4}" for all of them'
            )
    return ConfigError(
        f"{host_key}: {host} cannot be listened on ({reason}): write another address of this machine"
    )
