"""TLS for a listener: its certificate comes from files, and is read again when they change."""

import asyncio
import logging
import ssl
from pathlib import Path

from services.relay.protocol.errors import ConfigError
from services.relay.service.logs import CHANGE
from services.relay.service.settings import ModApi
from services.relay.service.text_files import signature

LOOK_EVERY_S = 2.0
HANDSHAKE_WITHIN_S = 10.0  # time limit of a TLS handshake

SHUTDOWN_WITHIN_S = 2.0

logger = logging.getLogger(__name__)


class Certificate:
    """`context` has the newest valid certificate. Raises ConfigError if the files have none at the start."""

    def __init__(
        self,
        cert: Path,
        key: Path,
        *,
        look_every_s: float = LOOK_EVERY_S,
        handshake_within_s: float = HANDSHAKE_WITHIN_S,
    ) -> None:
        self.handshake_within_s = handshake_within_s
        self._look_every_s = look_every_s
        self._cert, self._key = cert, key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= (
            ssl.OP_NO_RENEGOTIATION
        )  # otherwise one connection could ask for handshakes without end
        self._signature = self._stamps()
        if wrong := self._take():
            raise ConfigError(f"modapi.tls_cert, modapi.tls_key: {wrong}")

    async def watch(self) -> None:
        """Reads the files again when they change. Never returns."""
        while True:
            await asyncio.sleep(self._look_every_s)
            found = self._stamps()
            if found == self._signature:
                continue
            wrong = self._take()
            if wrong and self._stamps() != found:
                continue  # still being written
            self._signature = found
            if wrong:
                logger.error("%s. The certificate from before stays in use.", wrong, extra=CHANGE)
            else:
                logger.info("the certificate in %s was read again", self._cert)

    def _take(self) -> str:
        """Loads the files. Returns what is wrong with them, or "". It tries them on another context first: a
        load that fails halfway would spoil the context in use."""
        try:
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(self._cert, self._key, _no_password)
        except ssl.SSLError as error:
            return (
                f"{self._cert} and {self._key} are no certificate and its key ({error.reason or 'not PEM'})"
            )
        except OSError as error:
            return f"{self._cert} or {self._key} cannot be read: {error.strerror}"
        except ValueError:
            return f"{self._key} is locked with a password: store it without one"
        return ""

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [signature(file) for file in (self._cert, self._key)]


def certificate_of(modapi: ModApi) -> Certificate | None:
    """The certificate that the settings name; None: plain HTTP. Raises ConfigError."""
    if modapi.tls_cert is None or modapi.tls_key is None:
        return None
    return Certificate(Path(modapi.tls_cert), Path(modapi.tls_key))


def _no_password() -> str:
    """Without this, OpenSSL would ask for the password on the terminal."""
    raise ValueError
