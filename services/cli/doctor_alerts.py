"""`dayz-relay doctor --alerts`: sends a test message to each address of [alerts]."""

import time

import orjson

from services.cli.verdict import Verdict, bad, good, warn
from services.relay.protocol.link_states import LinkState
from services.relay.service.settings import Alerts
from services.uplink.reporting.alerts import words
from services.uplink.reporting.alerts.conditions import Condition, Sighting, Transition
from services.uplink.reporting.alerts.post import post, shown

_SEEN = Sighting(
    name="a try of dayz-relay doctor",
    silent_s=0.0,
    unheard_s=0.0,
    link=LinkState.READY,
    events=0,
    fullness=0.0,
    oldest_s=0.0,
)


async def reach(alerts: Alerts) -> list[Verdict]:
    """Send one message to each address. It says that a server, which does not exist, is back."""
    now_s = time.time()
    told = [Transition("test", Condition.SILENT, False, now_s, now_s, _SEEN)]
    targets = (
        ("discord_url", alerts.discord_url, words.discord),
        ("webhook_url", alerts.webhook_url, words.generic),
    )
    verdicts = [
        await _try(f"alerts.{key}", url.get_secret_value(), orjson.dumps(body(told)))
        for key, url, body in targets
        if url is not None
    ]
    return verdicts or [warn("nobody is told of anything", "set discord_url or webhook_url under [alerts]")]


async def _try(key: str, url: str, body: bytes) -> Verdict:
    try:
        reply = await post(url, body)
    except (OSError, ValueError) as error:
        return bad(f"{key}: {shown(url)} cannot be told: {error or type(error).__name__}", "is it right?")
    if reply.taken:
        return good(f"{key}: {shown(url)} has taken a message: it is there to be seen")
    return bad(f"{key}: {shown(url)} answers {reply.status}", "copy the address anew")
