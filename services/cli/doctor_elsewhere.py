"""The doctor's checks elsewhere: Takaro's name, TLS, greeting, clock; on request an identify and alerts."""

import asyncio
import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from services.cli.tables import cut
from services.cli.verdict import Verdict, bad, good, warn
from services.relay.protocol.link_states import LinkState
from services.relay.service.settings import REGISTRATION_TOKEN_PLACE, Alerts, Instance, Settings
from services.uplink.reporting.alerts import words
from services.uplink.reporting.alerts.conditions import Condition, Sighting, Transition
from services.uplink.reporting.alerts.sender import post, shown
from services.uplink.takaro import frames
from services.uplink.takaro.frames import Connected, ErrorFrame
from services.uplink.takaro.identify import Identified, IdentifyRefused

WITHIN_S = 10.0
CLOCK_APART_S = 30.0

_SEEN = Sighting(
    name="a try of dayz-relay doctor",
    silent_s=0.0,
    unheard_s=0.0,
    link=LinkState.READY,
    events=0,
    fullness=0.0,
    oldest_s=0.0,
)


async def takaro(settings: Settings) -> list[Verdict]:
    """Open a socket without an identify. No server of ours is disturbed."""
    url = settings.takaro.url
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
    verdicts: list[Verdict] = []
    if settings.takaro.proxy is None:  # else the proxy looks the name up
        try:
            async with asyncio.timeout(WITHIN_S):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            fix = "is [takaro] url right, and does this machine have DNS and the internet?"
            why = error.strerror or str(error) or "no answer"  # a timeout has no words
            return [bad(f"the name {host} cannot be looked up: {why}", fix)]
        addresses = sorted({str(one[4][0]) for one in found})
        if addresses != [host]:
            verdicts.append(good(f"{host} is {', '.join(addresses[:3])}"))
    try:
        async with _socket(settings) as socket_to, asyncio.timeout(WITHIN_S):
            verdicts += _clock(socket_to)
            greeting = frames.read_frame(await socket_to.recv())
            if isinstance(greeting, Connected):
                verdicts.append(good(f"{url} greets as Takaro does"))
            else:
                verdicts.append(bad(f"{url} is no connector of Takaro's: it does not greet", "[takaro] url"))
    except Exception as error:
        verdicts.append(_failed(url, error))
    return verdicts


async def identify(settings: Settings, instance: Instance) -> list[Verdict]:
    """Send an identify, read the answer, and close the socket."""
    if instance.registration_token is None:
        return [bad("it has no registration token", f"set {REGISTRATION_TOKEN_PLACE}")]
    try:
        async with _socket(settings) as socket_to, asyncio.timeout(WITHIN_S):
            await socket_to.send(
                frames.identify(
                    instance.identity_token.get_secret_value(),
                    instance.registration_token.get_secret_value(),
                    instance.name,
                ),
                text=True,
            )
            while True:
                answer = frames.read_frame(await socket_to.recv())
                if isinstance(answer, Identified):
                    return [good(f"Takaro knows this server as {answer.game_server_id}")]
                if isinstance(answer, ErrorFrame):  # the answer to an identify that Takaro cannot read
                    answer = IdentifyRefused(answer.text)
                if isinstance(answer, IdentifyRefused):
                    return [_refused(answer)]
    except Exception as error:
        return [_failed(settings.takaro.url, error)]


def _refused(answer: IdentifyRefused) -> Verdict:
    said = answer.text or "it gives no reason"
    if answer.remedy:
        return bad(f"Takaro refuses it: {said}", answer.remedy)
    return warn(f"Takaro cannot take it now: {said}", "try again in a minute")


def _socket(settings: Settings) -> connect:
    proxy = settings.takaro.proxy.get_secret_value() if settings.takaro.proxy else None
    return connect(
        settings.takaro.url, proxy=proxy, compression=None, open_timeout=WITHIN_S, close_timeout=1.0
    )


def _clock(socket_to: ClientConnection) -> list[Verdict]:
    """Compare the clock here with the Date of the answer to the upgrade."""
    date = socket_to.response.headers.get("Date") if socket_to.response else None
    try:
        apart_s = (parsedate_to_datetime(date or "") - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return []
    if abs(apart_s) <= CLOCK_APART_S:
        return [good("the clock here is right")]
    what = f"the clock here is {abs(apart_s):.0f} s {'behind' if apart_s > 0 else 'ahead'}"
    return [warn(what, "set this machine to a time server (NTP): `timedatectl set-ntp true`")]


def _failed(url: str, error: Exception) -> Verdict:
    why = cut(getattr(error, "strerror", "") or str(error) or type(error).__name__, 200)
    if isinstance(error, ssl.SSLCertVerificationError):
        return bad(
            f"{url}: its certificate is not good here: {why}",
            "is the clock right? Does a proxy stand between?",
        )
    if isinstance(error, TimeoutError):
        return bad(
            f"{url} does not answer within {WITHIN_S:g} s",
            "does a firewall stop connections out, or is Takaro down?",
        )
    if isinstance(error, OSError | WebSocketException):
        return bad(
            f"{url} cannot be reached: {why}", "[takaro] url, and [takaro] proxy if this machine needs one"
        )
    raise error


async def alerts(at: Alerts) -> list[Verdict]:
    """Send one message to each address. It says that a server, which does not exist, is back."""
    now_s = time.time()
    transitions = [Transition("test", Condition.SILENT, False, now_s, now_s, _SEEN)]
    targets = (
        ("discord_url", at.discord_url, words.discord),
        ("webhook_url", at.webhook_url, words.generic),
    )
    verdicts = [
        await _try(f"alerts.{key}", url.get_secret_value(), orjson.dumps(body(transitions)))
        for key, url, body in targets
        if url is not None
    ]
    return verdicts or [warn("nobody is told of anything", "set discord_url or webhook_url under [alerts]")]


async def _try(key: str, url: str, body: bytes) -> Verdict:
    try:
        answer = await post(url, body)
    except (OSError, ValueError) as error:
        return bad(f"{key}: {shown(url)} cannot be told: {error}", "is it right?")
    if answer.succeeded:
        return good(f"{key}: {shown(url)} has taken a message: it is there to be seen")
    return bad(f"{key}: {shown(url)} answers {answer.status}", "copy the address anew")
