"""The metrics of modapi."""

from prometheus_client import CollectorRegistry

from services.modapi.dialect.dead import Reason
from services.modapi.dialect.results import LISTS
from services.modapi.hold_rules import Ending
from services.modapi.http.calls import CallKind
from services.relay.protocol.vocabulary import Action, EventType
from services.relay.service.instance_series import InstanceSeries
from services.relay.service.metric_table import MetricTable, counter, gauge, histogram
from services.relay.service.metrics import ServiceMetrics

LATENCIES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

ANSWERS = (
    *("ok", "unauthorized", "too-large", "cut-short", "store-away", "full", "too-much"),
    *("stood-still", "stopping", "fault"),
)


class ModapiMetrics(MetricTable):
    events = counter("dayz_relay_events_accepted_total", "Game events stored for Takaro.", type=EventType)
    dead = counter(
        "dayz_relay_events_dead_total",
        "Game events that cannot become valid, put aside with their reason.",
        reason=Reason,
    )
    contradictory = counter(
        "dayz_relay_contradictory_players_total",
        "Player records that were ignored: their ids belong to several players.",
    )
    repeated = counter(
        "dayz_relay_events_repeated_total",
        "Game events a mod sent again after a lost answer, recognised and dropped.",
    )
    log_dropped = counter(
        "dayz_relay_log_lines_dropped_total",
        "Log lines left out: log is off for the instance, or they were more than its log_per_s.",
        reason=("off", "rate"),
    )
    calls = counter("dayz_relay_mod_calls_total", "Calls of mods, by answer.", call=CallKind, answer=ANSWERS)
    seconds = histogram(
        "dayz_relay_mod_call_seconds",
        "How long a mod waited for its answer, without the time for which its poll was held.",
        LATENCIES_S,
        call=CallKind,
    )
    handed = counter("dayz_relay_commands_handed_total", "Commands handed to mods.", action=Action)
    results = counter(
        "dayz_relay_results_total",
        "Answers of mods to commands; `late`: nobody waits for it any more, or it is there already.",
        action=Action,
        result=("accepted", "late", "unreadable", "fault"),
    )
    foreign = counter("dayz_relay_results_foreign_total", "Answers to operations that are not of this relay.")
    rows_left_out = counter(
        "dayz_relay_result_rows_left_out_total",
        "Rows of mods' lists that could not be made valid: Takaro would refuse the whole list.",
        action=sorted(LISTS),
    )
    streams = gauge(
        "dayz_relay_api_streams", "Streams of server-sent events of the admin API and the page, open now."
    )
    streams_cut_off = counter(
        "dayz_relay_api_streams_cut_off_total", "Streams that were ended because their reader did not read."
    )
    wrong_admin_tokens = counter(
        "dayz_relay_wrong_admin_tokens_total", "Calls of the admin API, and logins, with an unknown token."
    )
    held = counter("dayz_relay_polls_held_total", "Held polls, by how they ended.", ended=Ending)

    def __init__(self, registry: CollectorRegistry) -> None:
        self.service = ServiceMetrics(registry, "modapi", InstanceSeries(()))
        self.beyond = self.service.beyond
        super().__init__(registry)
        # What is counted for each call is looked up once: a look-up by labels costs more than the counting.
        self.accepted = {event.value: self.events.labels(event) for event in EventType}
        self.answered = {
            (call, answer): self.calls.labels(call, answer) for call in CallKind for answer in ANSWERS
        }
        self.took = {call: self.seconds.labels(call) for call in CallKind}
