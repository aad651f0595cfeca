"""The health check of the image: every service that runs in this container says that it is ready.

modapi and uplink have an admin port each; `up` runs both. A port on which nobody listens belongs to a
service that does not run here, but somebody has to listen on one of them.
"""

import http.client
import os
import sys

PORTS = {"RELAY_MODAPI__ADMIN_PORT": "9088", "RELAY_UPLINK__ADMIN_PORT": "9089"}
TIMEOUT_S = 4.0


def main() -> int:
    """0: ready. 1: not ready, with the reason on standard error, where `docker inspect` shows it."""
    asked = 0
    for name, default in PORTS.items():
        port = int(os.environ.get(name) or default)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            body = answer.read(1000)
        except ConnectionRefusedError:
            continue
        except (OSError, http.client.HTTPException) as error:
            return _unready(f"port {port}: {error}")
        finally:
            connection.close()
        if answer.status != 200:
            return _unready(f"port {port}: {body.decode(errors='replace')}")
        asked += 1
    return 0 if asked else _unready("no service listens")


def _unready(reason: str) -> int:
    sys.stderr.write(reason + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
