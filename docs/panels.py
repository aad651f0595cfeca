"""What the dashboards ask Prometheus, panel by panel; dashboards.py draws them."""

from typing import NamedTuple

from services.relay.protocol.link_states import LinkState
from services.relay.protocol.vocabulary import ACTION_KINDS, ActionKind

STAT, LINES, TABLE, STATES, TEXT = "stat", "timeseries", "table", "state-timeline", "text"

SECONDS, PER_MINUTE, COUNT, BYTES, SHARE = "s", "suffix: / min", "locale", "bytes", "percentunit"
LINK = "link"
"""The unit of a state of a link to Takaro: its place in LINK_COLOURS."""

LINK_COLOURS = {
    LinkState.READY: "green",
    LinkState.PAUSED: "blue",
    LinkState.IDENTIFYING: "yellow",
    LinkState.CONNECTING: "yellow",
    LinkState.WAITING: "orange",
    LinkState.STOPPED: "purple",
    LinkState.REFUSED: "red",
}
"""From good to bad, so that the worst can be sorted to the top."""

_CONTACT = "dayz_relay_mod_contact_timestamp_seconds"
_OLDEST = "dayz_relay_oldest_event_timestamp_seconds"
_FAILED = "dayz_relay_instance_commands_failed_total"
_OURS = 'job=~".*(modapi|uplink)"'
_ONE = 'instance=~"$instance"'
_WRITES = "|".join(action for action, kind in ACTION_KINDS.items() if kind is ActionKind.WRITE)
_SENT_ON = f'{{action=~"{_WRITES}",outcome!~"own|fresh|stale|made_up"}}'
_COMMANDS, _READS = f'{{action=~"{_WRITES}"}}', f'{{action!~"{_WRITES}"}}'

_P50 = "p50: half took no longer. p99: 99 of 100 took no longer."


class Query(NamedTuple):
    """A line or a number; in a table a column, with its own unit and alarm."""

    expr: str
    legend: str = ""
    unit: str = COUNT
    alarm: float | None = None


class Panel(NamedTuple):
    """`about` is what a person sees behind the "i" of the panel, and what a panel of text says."""

    title: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    about: str = ""
    width: int = 8
    stacked: bool = False
    alarm: float | None = None
    """From this value on it is red, and green below."""
    good: float | None = None
    """From this value on it is green, and red below."""
    high: int = 0
    """In units of the grid, 0: what is usual for its kind."""


def _rate(metric: str, by: str = "", where: str = "") -> str:
    """How often a minute."""
    grouped = f" by ({by})" if by else ""
    return f"60 * sum{grouped} (rate({metric}{where}[$__rate_interval]))"


def _quantiles(metric: str, name: str, where: str = "") -> tuple[Query, ...]:
    buckets = f"sum by (le) (rate({metric}_bucket{where}[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({q}, {buckets})", f"{name}, {word}")
        for q, word in ((0.5, "p50"), (0.99, "p99"))
    )


def _ages(metric: str, where: str = "") -> str:
    """0 for what has no moment."""
    return f"(time() - {metric}{where}) * ({metric}{where} > bool 0)"


def _link(where: str = "") -> str:
    """The number of the state of each link."""
    return " or ".join(
        f'(dayz_relay_takaro_state{{{where}state="{state.value}"}} > bool 0) * {number}'
        for number, state in enumerate(LINK_COLOURS)
    )


def _none_is_0(expr: str) -> str:
    """Nothing found is 0, but nobody there who looks is no answer."""
    return f"{expr} or max(dayz_relay_leases_wanted) * 0"


FLEET = (
    Panel(
        "Servers linked",
        STAT,
        COUNT,
        (Query(_none_is_0('sum(dayz_relay_takaro_state{state="ready"})')),),
        width=4,
    ),
    Panel(
        "Servers not linked",
        STAT,
        COUNT,
        (
            Query(
                'max(dayz_relay_leases_wanted) - (sum(dayz_relay_takaro_state{state="ready"}) or vector(0))'
            ),
        ),
        width=4,
        alarm=1,
    ),
    Panel(
        "Mods silent",
        STAT,
        COUNT,
        (Query(_none_is_0(f"count(time() - {_CONTACT} > 60)")),),
        "Not heard of for a minute, or never.",
        width=4,
        alarm=1,
    ),
    Panel("Players online", STAT, COUNT, (Query("sum(dayz_relay_players_online)"),), width=4),
    Panel("Events waiting", STAT, COUNT, (Query("sum(dayz_relay_backlog_events)"),), width=4),
    Panel("Oldest event waiting", STAT, SECONDS, (Query(f"max({_ages(_OLDEST)})"),), width=4, alarm=60),
    Panel(
        "Alerts that fire",
        TABLE,
        COUNT,
        (Query('count by (severity, alertname, instance) (ALERTS{alertstate="firing"})', "Alerts"),),
        "docs/runbooks.md says what each means and what to do. Empty: none fires.",
        width=24,
    ),
    Panel(
        "Servers",
        TABLE,
        COUNT,
        (
            Query(f"max by (instance) ({_link()})", "Link", LINK),
            Query(f"max by (instance) (time() - ({_CONTACT} > 0))", "Silent for", SECONDS, alarm=60),
            Query("max by (instance) (dayz_relay_players_online)", "Players"),
            Query("max by (instance) (dayz_relay_backlog_events)", "Events waiting"),
            Query(f"max by (instance) ({_ages(_OLDEST)})", "Oldest waits for", SECONDS, alarm=60),
            Query(f"sum by (instance) (increase({_FAILED}[1h]))", "Failed commands, 1 h"),
            Query("max by (instance) (dayz_relay_dead_letters)", "Dead letters"),
        ),
        "The worst link first, then the longest silence. A server that was never heard of has none.",
        width=24,
        high=12,
    ),
    Panel(
        "Players over time",
        LINES,
        COUNT,
        (Query("sum(dayz_relay_players_online)", "players"),),
        "Of all servers together.",
        width=12,
    ),
    Panel(
        "Why Takaro refuses servers",
        LINES,
        COUNT,
        (Query("sum by (reason) (increase(dayz_relay_takaro_identify_refused_total[1h]))", "{{reason}}"),),
        "Refused attempts in the last hour. Those for a reason that stays are repeated every few minutes; the"
        " status page has Takaro's own words for each server.",
        width=12,
        stacked=True,
    ),
    Panel(
        "Links by state",
        LINES,
        COUNT,
        (Query("sum by (state) (dayz_relay_takaro_state)", "{{state}}"),),
        stacked=True,
        width=6,
    ),
    Panel(
        "Servers by state",
        LINES,
        COUNT,
        (Query("sum by (state) (dayz_relay_instances)", "{{state}}"),),
        "Each once, by the first thing that keeps it from being up, those without a token included.",
        stacked=True,
        width=6,
    ),
    Panel(
        "Silence of mods, the ten longest",
        LINES,
        SECONDS,
        (Query(f"topk(10, max by (instance) (time() - ({_CONTACT} > 0)))", "{{instance}}"),),
        "A mod that is well calls every few seconds.",
        width=6,
    ),
    Panel(
        "Oldest event that waits, the ten oldest",
        LINES,
        SECONDS,
        (Query(f"topk(10, max by (instance) ({_ages(_OLDEST)}))", "{{instance}}"),),
        width=6,
    ),
    Panel(
        "Events accepted, by type",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_events_accepted_total", "type"), "{{type}}"),),
        "Stored for Takaro; the mod has its 200.",
        stacked=True,
    ),
    Panel(
        "Events delivered, by type",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_events_delivered_total", "type"), "{{type}}"),),
        stacked=True,
    ),
    Panel(
        "Dropped events and dead letters, by reason",
        LINES,
        PER_MINUTE,
        (
            Query(_rate("dayz_relay_events_dead_total", "reason"), "dead letter: {{reason}}"),
            Query(_rate("dayz_relay_events_expired_total", "type"), "too old: {{type}}"),
            Query(_rate("dayz_relay_events_refused_total"), "refused by Takaro"),
            Query(_rate("dayz_relay_log_lines_dropped_total", "reason"), "log line, {{reason}}"),
        ),
        "Dead letters are kept, with their reason. What was too old is gone.",
    ),
    Panel(
        "Events waiting, the ten longest queues",
        LINES,
        COUNT,
        (Query("topk(10, max by (instance) (dayz_relay_backlog_events))", "{{instance}}"),),
    ),
    Panel(
        "Latency of events",
        LINES,
        SECONDS,
        _quantiles("dayz_relay_event_seconds", "accepted to receipted"),
        f"The oldest of each window that is sent. {_P50}",
    ),
    Panel(
        "Latency of commands",
        LINES,
        SECONDS,
        _quantiles("dayz_relay_request_seconds", "commands", _COMMANDS),
        f"From Takaro's request to its answer. {_P50}",
    ),
    Panel(
        "Latency of reads that had to wait for the mod",
        LINES,
        SECONDS,
        _quantiles("dayz_relay_request_seconds", "reads", _READS),
        f"Without what the mirror answers at once. {_P50}",
    ),
    Panel(
        "Latency of mods' calls",
        LINES,
        SECONDS,
        _quantiles("dayz_relay_mod_call_seconds", "calls"),
        f"Without the time for which a poll was held. {_P50}",
    ),
    Panel(
        "Mods turned away, by answer",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_mod_calls_total", "answer", '{answer!="ok"}'), "{{answer}}"),),
        stacked=True,
    ),
    Panel(
        "Commands of Takaro's, by outcome",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_requests_total", "outcome", _SENT_ON), "{{outcome}}"),),
        "What changes the game: messages, items, teleports, kicks, bans, console commands, shutdowns.",
        stacked=True,
    ),
    Panel(
        "Reads of Takaro's, by outcome",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_requests_total", "outcome", _READS), "{{outcome}}"),),
        "fresh, stale: from what is known of the game. own: the relay knows it itself. made_up: a position"
        " that nobody knew, told because Takaro would have lost an event.",
        stacked=True,
    ),
    Panel(
        "Handed to mods, and their answers",
        LINES,
        PER_MINUTE,
        (
            Query(_rate("dayz_relay_commands_handed_total"), "handed"),
            Query(_rate("dayz_relay_results_total", "result"), "answer {{result}}"),
        ),
        "Commands, and reads that the mirror did not know. late: nobody waited for it any more.",
    ),
)

INSTANCE = (
    Panel(
        "Link to Takaro",
        STAT,
        LINK,
        (Query(f"max({_link(f'{_ONE},')})"),),
        width=4,
    ),
    Panel(
        "Mod silent for",
        STAT,
        SECONDS,
        (Query(f"max(time() - ({_CONTACT}{{{_ONE}}} > 0))"),),
        "Empty: never heard of.",
        width=4,
        alarm=60,
    ),
    Panel("Players online", STAT, COUNT, (Query(f"max(dayz_relay_players_online{{{_ONE}}})"),), width=4),
    Panel("Events waiting", STAT, COUNT, (Query(f"max(dayz_relay_backlog_events{{{_ONE}}})"),), width=4),
    Panel(
        "Oldest event waiting",
        STAT,
        SECONDS,
        (Query(f"max({_ages(_OLDEST, f'{{{_ONE}}}')})"),),
        width=8,
        alarm=60,
    ),
    Panel(
        "Events delivered",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_instance_events_total", where=f"{{{_ONE}}}"), "events"),),
        width=12,
    ),
    Panel(
        "Players", LINES, COUNT, (Query(f"max(dayz_relay_players_online{{{_ONE}}})", "players"),), width=12
    ),
    Panel(
        "Link to Takaro, over time",
        STATES,
        LINK,
        (Query(f"max({_link(f'{_ONE},')})", "link"),),
        width=12,
    ),
    Panel(
        "Silence of the mod",
        LINES,
        SECONDS,
        (Query(f"max(time() - ({_CONTACT}{{{_ONE}}} > 0))", "silent for"),),
        width=12,
    ),
    Panel(
        "Failed commands",
        LINES,
        COUNT,
        (Query(f"sum(increase({_FAILED}{{{_ONE}}}[1h]))", "failed"),),
        "In the last hour: refused by the mod, or without a result.",
        width=12,
    ),
    Panel(
        "Dead letters",
        LINES,
        COUNT,
        (Query(f"max(dayz_relay_dead_letters{{{_ONE}}})", "kept"),),
        "Events that cannot be delivered, with their reason: `dayz-relay dlq list ${instance}`.",
        width=12,
    ),
    Panel(
        "Backlog in parts of what may wait",
        LINES,
        SHARE,
        (
            Query(f"max(dayz_relay_backlog_events{{{_ONE}}}) / max(dayz_relay_backlog_max_events)", "events"),
            Query(f"max(dayz_relay_backlog_bytes{{{_ONE}}}) / max(dayz_relay_backlog_max_bytes)", "bytes"),
        ),
        "When it is full the mod is told to keep its events.",
        width=24,
    ),
    Panel(
        "What is not here",
        TEXT,
        COUNT,
        (),
        "Latency, and commands and dead letters by their reason, are counted for all servers together: see"
        " the dashboard *Fleet*. Those of this server are on the status page, `/instance/${instance}` on the"
        " admin port of modapi.",
        width=24,
        high=3,
    ),
)

RELAY = (
    Panel("Processes up", STAT, COUNT, (Query(f"sum by (job) (up{{{_OURS}}})", "{{job}}"),), width=6, good=1),
    Panel(
        "Redis",
        STAT,
        COUNT,
        (
            Query("min(dayz_relay_store_ready)", "ready"),
            Query("min(dayz_relay_store_aof_ok)", "append-only file"),
        ),
        "1: good. Not ready: no event is accepted, /readyz says why.",
        width=6,
        good=1,
    ),
    Panel(
        "Instances without an owner",
        STAT,
        COUNT,
        (Query("max(dayz_relay_leases_wanted) - sum(dayz_relay_leases_owned)"),),
        width=6,
        alarm=1,
    ),
    Panel(
        "Replicas of Redis",
        STAT,
        COUNT,
        (
            Query("min(dayz_relay_store_replicas)", "there"),
            Query("max(dayz_relay_store_replicas_wanted)", "waited for"),
        ),
        width=6,
    ),
    Panel(
        "Uplinks at work",
        STAT,
        COUNT,
        (
            Query("max(dayz_relay_uplinks_alive)", "seen by one"),
            Query("min(dayz_relay_uplinks_alive)", "seen by all"),
        ),
        "Both are the same when all uplinks see each other.",
        width=12,
        good=1,
    ),
    Panel(
        "relay.toml is wrong",
        STAT,
        COUNT,
        (Query("sum by (job) (dayz_relay_config_reload_failed)", "{{job}}"),),
        "Processes that go on with the settings from before; `dayz-relay check` says why.",
        width=12,
        alarm=1,
    ),
    Panel(
        "What runs",
        TABLE,
        COUNT,
        (Query("count by (service, version, python) (dayz_relay_build_info)", "Processes"),),
        width=10,
    ),
    Panel(
        "What the store is",
        TABLE,
        COUNT,
        (
            Query(
                "count by (version, topology, appendfsync, policy, replicas) (dayz_relay_store_info)",
                "Processes",
            ),
        ),
        width=14,
    ),
    Panel(
        "Age of what is known of the games",
        LINES,
        SECONDS,
        (Query("max by (part) (dayz_relay_mirror_age_seconds)", "{{part}}"),),
        "Of all servers the oldest answer about somebody online. -1: nothing is known.",
        width=24,
    ),
    Panel(
        "CPU",
        LINES,
        SHARE,
        (Query(f"rate(process_cpu_seconds_total{{{_OURS}}}[$__rate_interval])", "{{job}} {{instance}}"),),
    ),
    Panel(
        "Memory", LINES, BYTES, (Query(f"process_resident_memory_bytes{{{_OURS}}}", "{{job}} {{instance}}"),)
    ),
    Panel(
        "Loop lag, p99",
        LINES,
        SECONDS,
        (
            Query(
                "histogram_quantile(0.99, sum by (job, instance, le)"
                " (rate(dayz_relay_loop_lag_seconds_bucket[$__rate_interval])))",
                "{{job}} {{instance}}",
            ),
        ),
        "How late the event loop of a process reacts. It should be under 50 ms.",
    ),
    Panel(
        "Restarts",
        LINES,
        COUNT,
        (
            Query(
                f"sum by (job) (changes(process_start_time_seconds{{{_OURS}}}[1h]))", "{{job}}, by anybody"
            ),
            Query(
                "sum by (job) (increase(dayz_relay_process_restarts_total[1h]))",
                "{{job}}, by `up` when it had ended",
            ),
            Query("max(resets(dayz_relay_store_uptime_seconds[1h]))", "Redis"),
        ),
        "In the last hour.",
        width=12,
    ),
    Panel(
        "Disk of the store",
        LINES,
        BYTES,
        (Query("min(dayz_relay_store_disk_free_bytes)", "left"),),
        "Only of the store that `dayz-relay up` brings along.",
        width=12,
    ),
    Panel(
        "Redis: round trips",
        LINES,
        SECONDS,
        _quantiles("dayz_relay_store_round_trip_seconds", "answered", '{outcome="ok"}'),
        "The sync to the disk is in them.",
    ),
    Panel(
        "Redis: round trips, by outcome",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_store_round_trip_seconds_count", "outcome"), "{{outcome}}"),),
    ),
    Panel(
        "Redis: memory",
        LINES,
        BYTES,
        (
            Query("max(dayz_relay_store_memory_used_bytes)", "used"),
            Query("max(dayz_relay_store_memory_max_bytes)", "maxmemory"),
        ),
        "maxmemory 0: no limit.",
    ),
    Panel(
        "Instances owned",
        LINES,
        COUNT,
        (Query("sum by (job, instance) (dayz_relay_leases_owned)", "{{job}} {{instance}}"),),
        stacked=True,
    ),
    Panel(
        "Changes of owners, and writes refused for it",
        LINES,
        PER_MINUTE,
        (
            Query(_rate("dayz_relay_lease_changes_total", "cause"), "{{cause}}"),
            Query(_rate("dayz_relay_fenced_total", "operation"), "fenced: {{operation}}"),
        ),
    ),
    Panel(
        "Sockets to Takaro",
        LINES,
        PER_MINUTE,
        (
            Query(_rate("dayz_relay_takaro_connects_total"), "attempts"),
            Query(_rate("dayz_relay_takaro_recycled_total"), "replaced while in use"),
            Query(_rate("dayz_relay_takaro_usurped_total"), "asked elsewhere"),
            Query(_rate("dayz_relay_takaro_errors_total", "kind"), "error frames: {{kind}}"),
        ),
    ),
    Panel(
        "Events sent again, or stored once though sent twice",
        LINES,
        PER_MINUTE,
        (
            Query(_rate("dayz_relay_events_resent_total", "cause"), "to Takaro: {{cause}}"),
            Query(_rate("dayz_relay_events_repeated_total"), "by a mod, recognised"),
        ),
    ),
    Panel(
        "Beyond a limit",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_refused_total", "limit"), "{{limit}}"),),
        "By the name of the setting under [limits].",
    ),
    Panel(
        "Held polls, by how they ended",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_polls_held_total", "ended"), "{{ended}}"),),
        stacked=True,
    ),
    Panel(
        "Reads that the mirror asked of mods",
        LINES,
        PER_MINUTE,
        (Query(_rate("dayz_relay_refreshes_total", "result"), "{{result}}"),),
        stacked=True,
    ),
    Panel(
        "What nobody waited for, or asked for",
        LINES,
        PER_MINUTE,
        (
            Query(_rate("dayz_relay_results_unclaimed_total"), "answers that no uplink waited for"),
            Query(_rate("dayz_relay_results_foreign_total"), "answers to operations of others"),
            Query(_rate("dayz_relay_bad_requests_total"), "requests of Takaro's that make no sense"),
        ),
    ),
    Panel(
        "Messages to Discord and webhooks",
        LINES,
        COUNT,
        (
            Query(
                "sum by (target, outcome) (increase(dayz_relay_alert_messages_total[$__rate_interval]))",
                "{{target}}: {{outcome}}",
            ),
        ),
    ),
)

DASHBOARDS = {"fleet": ("Fleet", FLEET), "instance": ("Instance", INSTANCE), "relay": ("Relay", RELAY)}
