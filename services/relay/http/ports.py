"""The ports that the relay listens on. Without uvicorn, for `up`, which serves nothing itself."""

import socket

from services.relay.errors import ConfigError

BACKLOG = 2048


def bind(host: str, port: int, key: str) -> socket.socket:
    """A listening socket. Raises ConfigError naming the setting `key` when the address can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"{key}: cannot listen on {host}:{port} ({error.strerror or error}). "
            f"Is another relay running? Otherwise choose another port."
        ) from error
