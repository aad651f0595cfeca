"""What modapi counts. Every series exists from the start, so that a dashboard shows 0 and not "no data"."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.modapi.dialect.dead import Reason
from services.modapi.dialect.results import LISTS
from services.modapi.held_polls import Ending
from services.modapi.http.calls import CallKind
from services.relay.protocol.limits import MODAPI_LIMITS
from services.relay.protocol.vocabulary import Action, EventType
from services.relay.service.instance_series import InstanceSeries
from services.relay.service.metrics import ServiceMetrics

LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

ANSWERS = (
    *("ok", "unauthorized", "too-large", "cut-short", "store-away", "full", "too-much"),
    *("stood-still", "stopping", "fault"),
)
RESULTS = ("accepted", "late", "unreadable", "fault")


class ModapiMetrics:
    """The instruments of one modapi process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.service = ServiceMetrics(registry, "modapi", InstanceSeries(()), MODAPI_LIMITS)
        self.beyond = self.service.beyond
        self.events = Counter(
            "dayz_relay_events_accepted_total", "Game events stored for Takaro.", ["type"], registry=registry
        )
        self.dead = Counter(
            "dayz_relay_events_dead_total",
            "Game events that cannot become valid, put aside with their reason.",
            ["reason"],
            registry=registry,
        )
        self.contradictory = Counter(
            "dayz_relay_contradictory_players_total",
            "Player records that mean several players by themselves or by what is known. They name nobody.",
            registry=registry,
        )
        self.repeated = Counter(
            "dayz_relay_events_repeated_total",
            "Game events a mod sent again after a lost answer, recognised and dropped.",
            registry=registry,
        )
        self._log_dropped = Counter(
            "dayz_relay_log_lines_dropped_total",
            "Log lines left out: log is off for the instance, or they were more than its log_per_s.",
            ["reason"],
            registry=registry,
        )
        self.calls = Counter(
            "dayz_relay_mod_calls_total", "Calls of mods, by answer.", ["call", "answer"], registry=registry
        )
        self.seconds = Histogram(
            "dayz_relay_mod_call_seconds",
            "How long a mod waited for its answer, without the time for which its poll was held.",
            ["call"],
            buckets=LATENCIES_S,
            registry=registry,
        )
        self.handed = Counter(
            "dayz_relay_commands_handed_total", "Commands handed to mods.", ["action"], registry=registry
        )
        self.results = Counter(
            "dayz_relay_results_total",
            "Answers of mods to commands.",
            ["action", "result"],
            registry=registry,
        )
        self.foreign = Counter(
            "dayz_relay_results_foreign_total",
            "Answers to operations that are not of this relay.",
            registry=registry,
        )
        self.rows_left_out = Counter(
            "dayz_relay_result_rows_left_out_total",
            "Rows of mods' lists that could not be made valid: Takaro would refuse the whole list.",
            ["action"],
            registry=registry,
        )
        self.held = Counter(
            "dayz_relay_polls_held_total", "Held polls, by how they ended.", ["ended"], registry=registry
        )
        for log_reason in ("off", "rate"):
            self._log_dropped.labels(log_reason)
        for ending in Ending:
            self.held.labels(ending.value)
        for event in EventType:
            self.events.labels(event)
        for reason in Reason:
            self.dead.labels(reason)
        for call in CallKind:
            self.seconds.labels(call.value)
            for answer in ANSWERS:
                self.calls.labels(call.value, answer)
        for listed in sorted(LISTS):
            self.rows_left_out.labels(listed)
        for action in Action:
            self.handed.labels(action)
            for result in RESULTS:
                self.results.labels(action, result)
        # What is counted for each call is looked up once: a look-up by labels costs more than the counting.
        self._accepted = {event.value: self.events.labels(event) for event in EventType}
        self._answered = {
            (call, answer): self.calls.labels(call.value, answer) for call in CallKind for answer in ANSWERS
        }
        self._took = {call: self.seconds.labels(call.value) for call in CallKind}

    def log_line_dropped(self, reason: str) -> None:
        """One log line was left out."""
        self._log_dropped.labels(reason).inc()

    def accepted(self, event_type: str, count: int) -> None:
        """So many events of that type were stored."""
        self._accepted[event_type].inc(count)

    def answered(self, call: CallKind, answer: str, took_s: float) -> None:
        """A call was answered."""
        self._answered[call, answer].inc()
        self._took[call].observe(took_s)
