"""What uplink counts. Every series exists from the start, so that a dashboard shows 0 and not "no data"."""

import contextlib
from collections import Counter as Tally
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.relay.records import GameEvent
from services.relay.vocabulary import Action, EventType
from services.uplink.mirror.table import READ_RULES
from services.uplink.takaro.failures import Cause
from services.uplink.takaro.session import State

LATENCIES_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 9.0, 10.0)

ANSWERED, OWN, TOO_LATE = "answered", "own", "too_late"
FRESH, STALE, FALLBACK = "fresh", "stale", "fallback"

MIRROR_PARTS = {
    "players": Action.GET_PLAYERS,
    "locations": Action.GET_PLAYER_LOCATION,
    "inventories": Action.GET_PLAYER_INVENTORY,
}


class Metrics:
    """The instruments of one uplink process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.delivered = Counter(
            "dayz_relay_events_delivered_total",
            "Game events that Takaro has receipted.",
            ["type"],
            registry=registry,
        )
        self.resent = Counter(
            "dayz_relay_events_resent_total",
            "Game events sent again though Takaro may have had them.",
            ["cause"],
            registry=registry,
        )
        self.refused = Counter(
            "dayz_relay_events_refused_total",
            "Game events that Takaro refused although they are valid by our rules: worth an alert.",
            registry=registry,
        )
        self.expired = Counter(
            "dayz_relay_events_expired_total",
            "Game events that were too old to be sent when Takaro could be reached.",
            ["type"],
            registry=registry,
        )
        self.error_frames = Counter(
            "dayz_relay_takaro_errors_total", "Error frames of Takaro's.", ["kind"], registry=registry
        )
        self.requests = Counter(
            "dayz_relay_requests_total",
            "Requests of Takaro's, by what came of them.",
            ["action", "outcome"],
            registry=registry,
        )
        self.bad_requests = Counter(
            "dayz_relay_bad_requests_total",
            "Requests of Takaro's that name no action we know, or lack an argument.",
            registry=registry,
        )
        self.request_seconds = Histogram(
            "dayz_relay_request_seconds",
            "How long Takaro waited for an answer.",
            ["action"],
            buckets=LATENCIES_S,
            registry=registry,
        )
        self.refreshes = Counter(
            "dayz_relay_refreshes_total",
            "Reads that the mirror asked of mods.",
            ["action", "result"],
            registry=registry,
        )
        self.mirror_age = Gauge(
            "dayz_relay_mirror_age_seconds",
            "Age of the oldest answer about somebody online, or of the list of who is; -1: unknown.",
            ["instance", "part"],
            registry=registry,
        )
        self.unclaimed = Counter(
            "dayz_relay_results_unclaimed_total",
            "Answers of mods whose request is gone: late, or asked on a socket that was lost.",
            registry=registry,
        )
        self.link = Gauge(
            "dayz_relay_takaro_state",
            "1 for the state in which the link of an instance is.",
            ["instance", "state"],
            registry=registry,
        )
        self.connects = Counter(
            "dayz_relay_takaro_connects_total", "Attempts to reach Takaro.", registry=registry
        )
        self.leases = Gauge("dayz_relay_leases_owned", "Instances that this uplink owns.", registry=registry)
        self.lease_changes = Counter(
            "dayz_relay_lease_changes_total",
            "Instances that came to this uplink or left it, by how.",
            ["cause"],
            registry=registry,
        )
        self.uplinks = Gauge(
            "dayz_relay_uplinks_alive",
            "Uplinks that this one sees at work, itself included.",
            registry=registry,
        )
        self.backlog = Gauge(
            "dayz_relay_backlog_batches", "Batches of events that wait.", ["instance"], registry=registry
        )
        for event in EventType:
            self.delivered.labels(event)
            self.expired.labels(event)
        for cause in ("disowned", "reconnect"):
            self.resent.labels(cause)
        for cause in ("taken", "handed_over", "released", "lost"):
            self.lease_changes.labels(cause)
        for kind in ("internal", "invalid"):
            self.error_frames.labels(kind)
        for action in READ_RULES:
            for result in ("answered", "failed"):
                self.refreshes.labels(action, result)
        for action in Action:
            self.request_seconds.labels(action)
            for outcome in (ANSWERED, OWN, FRESH, STALE, FALLBACK, TOO_LATE, *Cause):
                self.requests.labels(action, outcome)

        # Looked up once: a look-up by labels costs more than the counting.
        self._answers = {
            (action, outcome): self.requests.labels(action, outcome)
            for action in Action
            for outcome in (ANSWERED, OWN, FRESH, STALE, FALLBACK, TOO_LATE, *Cause)
        }

    def answered(self, action: Action, outcome: str) -> None:
        """A request had its answer, or came to its end otherwise."""
        self._answers[action, outcome].inc()

    def delivered_all(self, events: Iterable[GameEvent]) -> None:
        """Counts receipted events by type."""
        for event_type, count in Tally(event["type"] for event in events).items():
            self.delivered.labels(event_type).inc(count)

    def expired_all(self, events: Iterable[GameEvent]) -> None:
        """Counts events that were too old, by type."""
        for event_type, count in Tally(event["type"] for event in events).items():
            self.expired.labels(event_type).inc(count)

    def forget(self, instance: str) -> None:
        """An instance that is gone has no series."""
        for state in State:
            with contextlib.suppress(KeyError):
                self.link.remove(instance, state.value)
        for part in MIRROR_PARTS:
            with contextlib.suppress(KeyError):
                self.mirror_age.remove(instance, part)
        with contextlib.suppress(KeyError):
            self.backlog.remove(instance)

    def link_is(self, instance: str, state: State) -> None:
        """Shows the state of a link."""
        for other in State:
            self.link.labels(instance, other.value).set(other is state)
