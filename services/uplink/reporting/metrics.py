"""The metrics of uplink."""

from prometheus_client import CollectorRegistry

from services.relay.instances.facts import Facts, ServerCause
from services.relay.protocol.ends import CommandEnd
from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import Action, EventType
from services.relay.service.instance_series import InstanceSeries, Series, SeriesRow, earliest
from services.relay.service.metric_table import MetricTable, counter, gauge, histogram
from services.relay.service.metrics import ServiceMetrics
from services.relay.store.event_stream import MAX_QUEUED_BYTES, MAX_QUEUED_EVENTS
from services.uplink.requests.mirror.read_rules import READ_RULES
from services.uplink.takaro.identify import RefusalReason

LATENCIES_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 9.0, 10.0)

AGES_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0, 3_600.0)

OWN, TOO_LATE = "own", "too_late"
FRESH, STALE, MADE_UP = "fresh", "stale", "made_up"
OUTCOMES = (OWN, FRESH, STALE, MADE_UP, TOO_LATE, *CommandEnd)

CAUSES_OF_SERVED = [one for one in ServerCause if one not in (ServerCause.DISABLED, ServerCause.NOT_SERVED)]

OTHER_TYPE = "other"  # the label of an event whose type this version does not know: a newer modapi stored it

EVENT_TYPES = (*(event_type.value for event_type in EventType), OTHER_TYPE)

MIRROR_PARTS = {
    "players": Action.GET_PLAYERS,
    "locations": Action.GET_PLAYER_LOCATION,
    "inventories": Action.GET_PLAYER_INVENTORY,
}

CONTACT = Series(
    "dayz_relay_mod_contact_timestamp_seconds",
    "gauge",
    "When the mod was last heard of, by Redis' clock, to within 5 s; 0: never.",
    earliest,
)
STATE = Series(
    "dayz_relay_takaro_state",
    "gauge",
    "1 for the state in which the link to Takaro is; the others have no series.",
    sum,
    "state",
    tuple(LinkState),
)
BACKLOG_EVENTS = Series("dayz_relay_backlog_events", "gauge", "Game events that wait for Takaro.", max)
BACKLOG_BYTES = Series(
    "dayz_relay_backlog_bytes", "gauge", "Bytes of the game events that wait for Takaro.", max
)
OLDEST = Series(
    "dayz_relay_oldest_event_timestamp_seconds",
    "gauge",
    "When the oldest event that waits for Takaro was accepted, by Redis' clock; 0: none waits.",
    earliest,
)
DELIVERED = Series(
    "dayz_relay_instance_events_total",
    "counter",
    "Game events that Takaro has receipted, of all types.",
    None,
)
DEAD_LETTERS = Series("dayz_relay_dead_letters", "gauge", "Dead letters that are kept.", sum)
FAILED_COMMANDS = Series(
    "dayz_relay_instance_commands_failed_total",
    "counter",
    "Commands of Takaro's that the mod refused, or that have no result.",
    None,
)
PLAYERS = Series("dayz_relay_players_online", "gauge", "Players known to be online.", sum)
MIRROR_AGE = Series(
    "dayz_relay_mirror_age_seconds",
    "gauge",
    "Age of the oldest answer about somebody online, or of the list of who is; -1: unknown.",
    max,
    "part",
    tuple(MIRROR_PARTS),
    apart=False,
)
PER_INSTANCE = (
    *(CONTACT, STATE, BACKLOG_EVENTS, BACKLOG_BYTES, OLDEST, DELIVERED, DEAD_LETTERS, FAILED_COMMANDS),
    *(PLAYERS, MIRROR_AGE),
)
"""The series of each instance. Only its owner has them, so a sum over the fleet counts no instance twice."""


class UplinkMetrics(MetricTable):
    """What one uplink process counts."""

    delivered = counter(
        "dayz_relay_events_delivered_total", "Game events that Takaro has receipted.", type=EVENT_TYPES
    )
    resent = counter(
        "dayz_relay_events_resent_total",
        "Game events sent again though Takaro may have had them.",
        cause=("disowned", "reconnect"),
    )
    refused = counter(
        "dayz_relay_events_refused_total",
        "Game events that Takaro refused although they are valid by our rules: worth an alert.",
    )
    expired = counter(
        "dayz_relay_events_expired_total",
        "Game events that were too old to be sent when Takaro could be reached.",
        type=EVENT_TYPES,
    )
    error_frames = counter(
        "dayz_relay_takaro_errors_total",
        "Error frames of Takaro's: it refused an event (invalid; internal: it has lost the server), "
        "an answer or an identify.",
        kind=("internal", "invalid", "answer", "identify"),
    )
    requests = counter(
        "dayz_relay_requests_total",
        "Requests of Takaro's, by their outcome.",
        action=Action,
        outcome=OUTCOMES,
    )
    bad_requests = counter(
        "dayz_relay_bad_requests_total",
        "Requests of Takaro's that name no action we know, or lack an argument.",
    )
    request_seconds = histogram(
        "dayz_relay_request_seconds",
        "How long Takaro waited for a mod: commands, and reads that the mirror did not know.",
        LATENCIES_S,
        action=Action,
    )
    refreshes = counter(
        "dayz_relay_refreshes_total",
        "Reads that the mirror asked of mods.",
        action=READ_RULES,
        result=("answered", "failed"),
    )
    unclaimed = counter(
        "dayz_relay_results_unclaimed_total",
        "Results of mods that no uplink waited for: the uplink that asked has ended.",
    )
    connects = counter("dayz_relay_takaro_connects_total", "Attempts to reach Takaro.")
    recycled = counter(
        "dayz_relay_takaro_recycled_total",
        "Sockets that were replaced by a new one while they were in use.",
    )
    usurped = counter(
        "dayz_relay_takaro_usurped_total",
        "Times that Takaro was found to send the requests of an instance to another client that has its "
        "identity token.",
    )
    identify_refused = counter(
        "dayz_relay_takaro_identify_refused_total",
        "Times that Takaro refused to link an instance, or did not answer, by its reason.",
        reason=RefusalReason,
    )
    leases = gauge("dayz_relay_leases_owned", "Instances that this uplink owns.")
    by_state = gauge(
        "dayz_relay_instances",
        "Instances that are served, by the first thing that keeps them from being up. Each uplink counts "
        "those that it owns, and those of its share that nobody owns.",
        state=CAUSES_OF_SERVED,
    )
    leases_wanted = gauge("dayz_relay_leases_wanted", "Instances that some uplink has to own.")
    lease_changes = counter(
        "dayz_relay_lease_changes_total",
        "Instances that this uplink took, handed over, released or lost.",
        cause=("taken", "handed_over", "released", "lost"),
    )
    fenced = counter(
        "dayz_relay_fenced_total",
        "Writes that Redis refused because another uplink owns the instance.",
        operation=("ack", "mirror"),
    )
    uplinks = gauge("dayz_relay_uplinks_alive", "Uplinks that this one sees at work, itself included.")
    data_lost = counter(
        "dayz_relay_store_data_lost_total",
        "Times that Redis was found to be behind what it had been: emptied, or an older copy.",
    )
    clock_steps = counter(
        "dayz_relay_store_clock_steps_total",
        "Times that the clock of Redis was found to have been set, by more than 2 s.",
        direction=("forward", "back"),
    )
    event_seconds = histogram(
        "dayz_relay_event_seconds",
        "From the acceptance of an event to Takaro's first pong behind it: the oldest of each window.",
        AGES_S,
    )
    backlog_max_events = gauge("dayz_relay_backlog_max_events", "Game events that may wait for one instance.")
    backlog_max_bytes = gauge(
        "dayz_relay_backlog_max_bytes", "Bytes of game events that may wait for one instance."
    )
    alerts = counter(
        "dayz_relay_alert_messages_total",
        "Messages to Discord and webhooks, by outcome.",
        target=("discord", "webhook"),
        outcome=("sent", "failed"),
    )

    def __init__(self, registry: CollectorRegistry, *, per_instance: bool = True) -> None:
        self.instances = InstanceSeries(PER_INSTANCE, per_instance=per_instance)
        self.service = ServiceMetrics(registry, "uplink", self.instances)
        self.beyond = self.service.beyond
        super().__init__(registry)
        self.backlog_max_events.set(MAX_QUEUED_EVENTS)
        self.backlog_max_bytes.set(MAX_QUEUED_BYTES)
        # Look up each counter once: a look-up by labels costs more than the count.
        # For types that are not among these there is OTHER_TYPE: a label never comes from data.
        self.delivered_of = {label: self.delivered.labels(label) for label in EVENT_TYPES}
        self.expired_of = {label: self.expired.labels(label) for label in EVENT_TYPES}
        self.request_seconds_of = {action: self.request_seconds.labels(action) for action in Action}
        self.answers_of = {
            (action, outcome): self.requests.labels(action, outcome)
            for action in Action
            for outcome in OUTCOMES
        }

    def count_alert(self, target: str, sent: bool) -> None:
        """Counts an alert message that was sent, or given up."""
        self.alerts.labels(target, "sent" if sent else "failed").inc()

    def show_waiting(self, row: SeriesRow, facts: Facts) -> None:
        """Shows the last contact, the backlog and the dead letters of an instance, as Redis has them."""
        row.set(CONTACT, (facts.contact_ms or 0) / 1000)
        row.set(BACKLOG_EVENTS, facts.events)
        row.set(BACKLOG_BYTES, facts.events_bytes)
        row.set(OLDEST, (facts.oldest_ms or 0) / 1000)
        row.set(DEAD_LETTERS, facts.dead)
