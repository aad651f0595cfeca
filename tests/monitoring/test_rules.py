"""The alerts of deploy/prometheus/rules: each fires and clears, by Prometheus' own tool."""

import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from docs import metrics
from docs.panels import DASHBOARDS
from tests.monitoring.prometheus import PROMETHEUS_THERE, promtool_test

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules" / "dayz-relay.yml"
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}

pytestmark = PROMETHEUS_THERE

ONE = 'instance="one"'
OUR_PROCESS = 'job="uplink",instance="10.0.0.1:9089"'
HOUR = 60


class Case(NamedTuple):
    """One value a minute for each series, in promtool's words; minutes. Nothing fires at `quiet`."""

    alert: str
    series: dict[str, str]
    quiet: int
    fires: int
    clears: int
    labels: dict[str, str]
    summary: str


def metric(name: str, labels: str = "") -> str:
    return f"dayz_relay_{name}{{{labels}}}"


CASES = [
    Case(
        "TakaroUnreachable",  # uplinks restart at minute 5: it goes on
        {
            metric("takaro_state", f'{ONE},state="waiting"'): "1x4 stale 1x3 stale",
            metric("takaro_state", 'instance="two",state="identifying"'): "1x4 stale 1x3 stale",
            metric("takaro_state", f'{ONE},state="ready"'): "_x9 1x20",
            metric("takaro_state", 'instance="two",state="ready"'): "_x9 1x20",
        },
        *(1, 6, 20),
        {},
        "Takaro cannot be reached: 100% of all servers are not linked.",
    ),
    Case(
        "StoreDiskNearFull",
        {
            metric("store_disk_free_bytes", OUR_PROCESS): "536870912x10 5000000000x10",
            metric("store_disk_free_bytes", 'job="modapi"'): "NaN " * 20,
        },
        *(4, 8, 12),
        {},
        "512MiB are left on the disk of the relay's store.",
    ),
    Case(
        "GameServerSilent",
        {
            metric("mod_contact_timestamp_seconds", ONE): "60x10 660+60x10",
            metric("mod_contact_timestamp_seconds", 'instance="never-seen"'): "0x30",
        },
        *(4, 6, 14),
        {"instance": "one"},
        "No call from the mod of one for 5m 0s.",
    ),
    Case(
        "GameServerSilent",  # uplinks restart, and nobody shows it at minute 6
        {metric("mod_contact_timestamp_seconds", ONE): "60x5 stale 60x3 660+60x10"},
        *(3, 7, 14),
        {"instance": "one"},
        "No call from the mod of one for 6m 0s.",
    ),
    Case(
        "TakaroLinkDown",
        {
            metric("takaro_state", f'{ONE},state="waiting"'): "1 stale 1 stale 1 stale stale",
            metric("takaro_state", f'{ONE},state="connecting"'): "stale 1 stale 1 stale 1 stale",
            metric("takaro_state", f'{ONE},state="ready"'): "stale stale stale stale stale stale 1x10",
            metric("takaro_state", 'instance="two",state="ready"'): "1x30",
        },
        *(2, 4, 10),
        {"instance": "one"},
        "one is not linked to Takaro: its events wait, its commands fail.",
    ),
    Case(
        "TakaroLinkDown",  # uplinks restart in the minutes 5 and 6: it goes on, and ends once
        {
            metric("takaro_state", f'{ONE},state="waiting"'): "1x4 stale stale 1x3 stale",
            metric(
                "takaro_state", f'{ONE},state="ready"'
            ): "stale stale stale stale stale stale stale stale stale stale stale 1x10",
        },
        *(2, 6, 15),
        {"instance": "one"},
        "one is not linked to Takaro: its events wait, its commands fail.",
    ),
    Case(
        "EventsUndelivered",  # the same
        {metric("oldest_event_timestamp_seconds", ONE): "60x5 stale stale 60x3 0x10"},
        *(3, 7, 16),
        {"instance": "one"},
        "The oldest event of one has waited for 4m 0s.",
    ),
    Case(
        "BacklogNearFull",  # the same
        {
            metric("backlog_events", ONE): "75000x5 stale stale 75000x3 10x10",
            metric("backlog_max_events", 'job="uplink"'): "100000x20",
            metric("backlog_bytes", ONE): "1000x20",
            metric("backlog_max_bytes", 'job="uplink"'): "67108864x20",
        },
        *(1, 7, 16),
        {"instance": "one"},
        "The backlog of one is 75% full.",
    ),
    Case(
        "ServerWithoutToken",
        {
            metric("instances", 'job="uplink",instance="a:1",state="no_token"'): "1x50 0x20",
            metric("instances", 'job="uplink",instance="b:1",state="no_token"'): "1x50 0x20",
            metric("instances", 'job="uplink",instance="b:1",state="up"'): "9x90",
        },
        *(29, 31, 55),
        {},
        "2 server(s) have no registration token: nothing of theirs reaches Takaro.",
    ),
    Case(
        "ServerNeverCalled",
        {metric("instances", 'job="uplink",instance="a:1",state="never_called"'): "1x80 0x20"},
        *(59, 61, 85),
        {},
        "1 server(s) were added, and their mods have never called.",
    ),
    Case(
        "ServerWithoutToken",  # uplinks restart in the minutes 34 and 35
        {metric("instances", 'job="uplink",instance="a:1",state="no_token"'): "1x33 stale stale 1x3 0x20"},
        *(29, 37, 45),
        {},
        "1 server(s) have no registration token: nothing of theirs reaches Takaro.",
    ),
    Case(
        "ServerNeverCalled",  # the same; who has just started has not counted yet
        {metric("instances", 'job="uplink",instance="a:1",state="never_called"'): "1x63 stale 0 1x3 0x20"},
        *(59, 67, 75),
        {},
        "1 server(s) were added, and their mods have never called.",
    ),
    Case(
        "IdentifyRefused",
        {
            metric("takaro_state", f'{ONE},state="refused"'): "1 1 stale 1 1 stale",
            metric("takaro_state", f'{ONE},state="connecting"'): "stale stale 1 stale stale stale",
            metric("takaro_state", f'{ONE},state="ready"'): "stale stale stale stale stale 1x10",
        },
        *(0, 2, 6),
        {"instance": "one"},
        "Takaro refuses one: a person has to act.",
    ),
    Case(
        "IdentifyRefused",  # [metrics] per_instance = false: the others that are linked change nothing
        {
            metric("takaro_state", f'{OUR_PROCESS},state="refused"'): "1x5 stale",
            metric("takaro_state", f'{OUR_PROCESS},state="ready"'): "99x30",
        },
        *(0, 2, 20),
        {"instance": "10.0.0.1:9089"},
        "Takaro refuses a server: a person has to act.",
    ),
    Case(
        "TakaroAsksSomebodyElse",
        {metric("takaro_usurped_total"): "0x5 1x400"},
        *(5, 10, 3 * HOUR),
        {},
        "Another client identifies with the identity token of one of our servers.",
    ),
    Case(
        "EventsUndelivered",
        {
            metric("oldest_event_timestamp_seconds", ONE): "60x10 0x10",
            metric("oldest_event_timestamp_seconds", 'instance="busy"'): "1+60x30",
        },
        *(4, 6, 15),
        {"instance": "one"},
        "The oldest event of one has waited for 5m 0s.",
    ),
    Case(
        "BacklogNearFull",
        {
            metric("backlog_events", ONE): "75000x10 10x10",
            metric("backlog_bytes", ONE): "1000x20",
            metric("backlog_max_events", 'job="uplink"'): "100000x20",
            metric("backlog_max_bytes", 'job="uplink"'): "67108864x20",
        },
        *(1, 5, 15),
        {"instance": "one"},
        "The backlog of one is 75% full.",
    ),
    Case(
        "BacklogNearFull",
        {
            metric("backlog_events", ONE): "10x20",
            metric("backlog_bytes", ONE): "60397977x10 10x10",
            metric("backlog_max_events", 'job="uplink"'): "100000x20",
            metric("backlog_max_bytes", 'job="uplink"'): "67108864x20",
        },
        *(1, 5, 15),
        {"instance": "one"},
        "The backlog of one is 90% full.",
    ),
    Case(
        "DeadLetters",
        {
            metric("events_dead_total", 'reason="unknown-type"'): "0x5 1x40",
            metric("events_refused_total"): "0x45",
        },
        *(5, 8, 40),
        {"reason": "unknown-type"},
        "Events cannot be delivered and were put aside: unknown-type.",
    ),
    Case(
        "DeadLetters",
        {
            metric("events_dead_total", 'reason="unknown-type"'): "7x45",
            metric("events_refused_total"): "0x5 1x40",
        },
        *(5, 8, 40),
        {"reason": "refused-by-takaro"},
        "Events cannot be delivered and were put aside: refused-by-takaro.",
    ),
    Case(
        "EventsLost",
        {
            metric("events_expired_total", 'type="player-death"'): "0x5 3x40",
            metric("events_expired_total", 'type="chat-message"'): "0+9x45",
            metric("events_expired_total", 'type="log"'): "0+9x45",
        },
        *(5, 8, 40),
        {"type": "player-death"},
        "Events of type player-death have waited for 7 days and were dropped.",
    ),
    Case(
        "ModsTurnedAway",
        {metric("mod_calls_total", 'call="events",answer="full"'): "0 0+1x20 20x20"},
        *(4, 12, 24),
        {"answer": "full"},
        "Mods are told to retry later: full.",
    ),
    Case(
        "CommandsTimingOut",
        {
            metric("requests_total", 'action="giveItem",outcome="no_result"'): "0+1x30 30x60",
            metric("requests_total", 'action="giveItem",outcome="answered"'): "0+9x90",
            metric("requests_total", 'action="getPlayers",outcome="fresh"'): "0+900x90",
        },
        *(9, 20, 36),
        {},
        "10% of Takaro's commands have no result.",
    ),
    Case(
        "CommandsTimingOut",  # no mod polls, though all of them send events
        {
            metric("requests_total", 'action="giveItem",outcome="not_delivered"'): "0+1x30 30x60",
            metric("requests_total", 'action="giveItem",outcome="answered"'): "0x30 0+9x60",
            metric("mod_contact_timestamp_seconds", ONE): "1+60x90",
        },
        *(9, 20, 36),
        {},
        "100% of Takaro's commands have no result.",
    ),
    Case(
        "RelayProcessDown",
        {f"up{{{OUR_PROCESS}}}": "1 0x5 1x10", 'up{job="prometheus",instance="x"}': "0x20"},
        *(1, 4, 8),
        {"job": "uplink", "instance": "10.0.0.1:9089"},
        "uplink at 10.0.0.1:9089 does not answer.",
    ),
    Case(
        "RelayServiceMissing",
        {
            metric("build_info", 'service="modapi"'): "1x30",
            metric("build_info", 'service="uplink"'): "1 stale _x8 1x10",
        },
        *(1, 5, 11),
        {"service": "uplink"},
        "No uplink answers Prometheus.",
    ),
    Case(
        "InstancesWithoutOwner",
        {
            metric("leases_wanted", 'replica="a"'): "5x20",
            metric("leases_wanted", 'replica="b"'): "5x20",
            metric("leases_owned", 'replica="a"'): "3x20",
            metric("leases_owned", 'replica="b"'): "2 0x5 2x10",
            metric("uplinks_alive", 'replica="a"'): "2x20",
        },
        *(1, 4, 8),
        {},
        "2 server(s) are owned by no uplink: their events wait.",
    ),
    Case(
        "UplinkNotScraped",
        {
            metric("uplinks_alive", 'replica="a"'): "2x20",
            metric("leases_owned", 'replica="a"'): "3x20",
            metric("leases_owned", 'replica="b"'): "_x8 2x10",
        },
        *(1, 4, 10),
        {},
        "1 running uplink(s) are not scraped by Prometheus.",
    ),
    Case(
        "ServersVanished",
        {
            metric("leases_wanted", 'replica="a"'): "10x5 4x90",
            metric("leases_wanted", 'replica="b"'): "9x5 stale",
        },
        *(7, 10, 70),
        {},
        "6 servers have gone from the relay within an hour, more than are left.",
    ),
    Case(
        "WritesFenced",
        {metric("fenced_total", 'operation="ack"'): "0x3 1x40"},
        *(3, 6, 35),
        {"operation": "ack"},
        "An uplink went on after it had lost a server to another: ack.",
    ),
    Case(
        "LoopLagging",
        {
            metric("loop_lag_seconds_bucket", f'{OUR_PROCESS},le="0.5"'): "0x10 0+240x60",
            metric("loop_lag_seconds_bucket", f'{OUR_PROCESS},le="1"'): "0+240x10 2400+240x60",
            metric("loop_lag_seconds_bucket", f'{OUR_PROCESS},le="+Inf"'): "0+240x10 2400+240x60",
        },
        *(4, 8, 30),
        {"job": "uplink", "instance": "10.0.0.1:9089"},
        "The event loop of uplink at 10.0.0.1:9089 lags by 995ms.",
    ),
    Case(
        "ConfigReloadFailed",
        {metric("config_reload_failed", OUR_PROCESS): "0 1x10 0x10"},
        *(4, 8, 14),
        {},
        "relay.toml has a mistake; the previous settings stay in force.",
    ),
    Case(
        "MessagesToPeopleFailing",
        {
            metric("alert_messages_total", 'target="discord",outcome="failed"'): "0x5 1x60",
            metric("alert_messages_total", 'target="discord",outcome="sent"'): "0+1x65",
            metric("alert_messages_total", 'target="webhook",outcome="failed"'): "7x65",
        },
        *(5, 8, 50),
        {"target": "discord"},
        "Alert messages to discord are failing.",
    ),
    Case(
        "StoreNotReady",
        {metric("store_ready", OUR_PROCESS): "1 0x5 1x10", metric("store_ready", 'job="modapi"'): "1x20"},
        *(1, 4, 8),
        {},
        "Redis is away, set so that it could lose events, or lacks replicas. No event is accepted.",
    ),
    Case(
        "StoreDataLost",
        {metric("store_data_lost_total", OUR_PROCESS): "0x5 1x40"},
        *(5, 8, 25),
        {},
        "Redis has lost data: it was emptied, or a copy that was behind took its place.",
    ),
    Case(
        "StoreMemoryNearFull",
        {
            metric("store_memory_used_bytes", OUR_PROCESS): "85x10 50x10",
            metric("store_memory_max_bytes", OUR_PROCESS): "100x20",
            metric("store_memory_used_bytes", 'job="no-limit"'): "85x20",
            metric("store_memory_max_bytes", 'job="no-limit"'): "0x20",
        },
        *(4, 8, 12),
        {},
        "Redis has used 85% of its maxmemory.",
    ),
    Case(
        "StoreAppendOnlyFileFailing",
        {metric("store_aof_ok", OUR_PROCESS): "1 0x5 1x10"},
        *(1, 4, 8),
        {},
        "Redis could not write its append-only file.",
    ),
    Case(
        "StoreMayLoseEvents",
        {
            metric("store_info", 'appendfsync="everysec",policy="noeviction"'): "1x5 stale",
            metric("store_info", 'appendfsync="always",policy="noeviction"'): "1x20",
            metric("store_info", 'appendfsync="hidden",policy="hidden"'): "1x20",
        },
        *(0, 3, 8),
        {"appendfsync": "everysec", "policy": "noeviction"},
        "Redis has appendfsync everysec and maxmemory-policy noeviction.",
    ),
    Case(
        "StoreMayLoseEvents",
        {metric("store_info", 'appendfsync="always",policy="allkeys-lru"'): "1x5 stale"},
        *(0, 3, 8),
        {"appendfsync": "always", "policy": "allkeys-lru"},
        "Redis has appendfsync always and maxmemory-policy allkeys-lru.",
    ),
    Case(
        "StoreReplicasMissing",
        {
            metric("store_replicas", OUR_PROCESS): "1 0x5 1x10",
            metric("store_replicas_wanted", OUR_PROCESS): "1x20",
            metric("store_replicas", 'job="has-just-started"'): "0x20",
            metric("store_replicas_wanted", 'job="has-just-started"'): "0x20",
        },
        *(1, 4, 8),
        {},
        "Redis has fewer replicas (0) than a batch waits for. No event is accepted.",
    ),
]


NO_REASON = {
    "a link that is down among three": (
        "TakaroUnreachable",
        {
            metric("takaro_state", 'instance="one",state="waiting"'): "1x40",
            metric("takaro_state", 'instance="two",state="ready"'): "1x40",
            metric("takaro_state", 'instance="three",state="ready"'): "1x40",
        },
    ),
    "the link of the only server": ("TakaroUnreachable", {metric("takaro_state", 'state="waiting"'): "1x40"}),
    "links that Takaro refuses": (
        "TakaroUnreachable",
        {
            metric("takaro_state", 'instance="one",state="refused"'): "1x40",
            metric("takaro_state", 'instance="two",state="refused"'): "1x40",
        },
    ),
    "a store that `up` did not bring along": (
        "StoreDiskNearFull",
        {metric("store_disk_free_bytes"): "NaN " * 40},
    ),
    "a burst of refusals": ("ModsTurnedAway", {metric("mod_calls_total", 'answer="full"'): "0x5 50 100x30"}),
    "wrong keys": ("ModsTurnedAway", {metric("mod_calls_total", 'answer="unauthorized"'): "0+10x40"}),
    "a dead mod among four": (
        "CommandsTimingOut",
        {
            metric("requests_total", 'outcome="not_delivered"'): "0x5 0+3x20 60x20",
            metric("requests_total", 'outcome="answered"'): "0+7x50",
            metric("mod_contact_timestamp_seconds", ONE): "1+60x5 300x20 1560+60x20",
        },
    ),
    "servers of an uplink that is not asked": (
        "InstancesWithoutOwner",
        {
            metric("leases_wanted"): "5x40",
            metric("leases_owned"): "3x40",
            metric("uplinks_alive"): "2x40",
        },
    ),
    "one of ten servers is removed": ("ServersVanished", {metric("leases_wanted"): "10x5 9x40"}),
    "one of two servers is removed": ("ServersVanished", {metric("leases_wanted"): "2x5 1x40"}),
    "the only server is removed": ("ServersVanished", {metric("leases_wanted"): "1x5 0x40"}),
    "mods that call while Redis is away": (
        "GameServerSilent",
        {
            metric("mod_contact_timestamp_seconds", ONE): "0+60x5 300x10 960+60x24",
            metric("store_ready", OUR_PROCESS): "1x5 0x10 1x24",
        },
    ),
    "an uplink starts anew": ("ServersVanished", {metric("leases_wanted"): "10x5 0 10x40"}),
}
"""What happens -> an alert that has to do with it, and does not fire for it."""


def expected(case: Case) -> dict[str, Any]:
    rule = ALERTS[case.alert]
    link = f"docs/runbooks.md#{case.alert.lower()}"
    annotations = rule["annotations"] | {"summary": case.summary, "runbook_url": link}
    return {"exp_labels": rule["labels"] | case.labels, "exp_annotations": annotations}


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.alert}" for n, case in enumerate(CASES)])
def test_an_alert_fires_and_clears(case: Case, tmp_path: Path) -> None:
    test = {
        "input_series": [{"series": name, "values": text} for name, text in case.series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": case.alert, "exp_alerts": alerts}
            for minute, alerts in ((case.quiet, []), (case.fires, [expected(case)]), (case.clears, []))
        ],
    }
    promtool_test([test], tmp_path, RULES)


@pytest.mark.parametrize("what", NO_REASON)
def test_an_alert_does_not_fire_without_a_reason(what: str, tmp_path: Path) -> None:
    alert, series = NO_REASON[what]
    test = {
        "input_series": [{"series": name, "values": text} for name, text in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []} for minute in range(40)
        ],
    }
    promtool_test([test], tmp_path, RULES)


def test_one_label_of_prometheus_makes_the_links_to_runbooks_absolute(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.alert == "StoreNotReady")
    alert, runbooks = expected(case), "https://git.example.org/relay/"
    alert["exp_annotations"]["runbook_url"] = f"{runbooks}docs/runbooks.md#storenotready"
    test = {
        "external_labels": {"runbooks": runbooks},
        "input_series": [{"series": name, "values": text} for name, text in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.fires}m", "alertname": case.alert, "exp_alerts": [alert]}],
    }
    promtool_test([test], tmp_path, RULES)


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == ALERTS.keys()


def test_prometheus_takes_the_rules_and_its_configuration() -> None:
    folder = ROOT / "deploy" / "prometheus"
    for command in (["rules", str(RULES)], ["config", str(folder / "prometheus.yml")]):
        done = subprocess.run(["promtool", "check", *command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_waits_has_a_severity_a_sentence_and_a_runbook(name: str) -> None:
    rule = ALERTS[name]
    assert rule["for"] and rule["labels"]["severity"] in ("warning", "critical")
    link = rule["annotations"]["runbook_url"]
    assert link == "{{ $externalLabels.runbooks }}" + f"docs/runbooks.md#{name.lower()}"
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"].get("description", ".").endswith(".")
    assert f"\n## {name}\n" in RUNBOOKS


def test_the_runbooks_are_of_alerts_that_exist() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)) == ALERTS.keys()


def test_the_runbooks_name_panels_that_exist() -> None:
    titles = {title: [panel.title for panel in panels] for title, panels in DASHBOARDS.values()}
    dashboard, found = "", 0
    named = rf"\b({'|'.join(titles)}), (?=\*)|(?<!\*)\*(?=\w)([^*\n]+)\*(?!\*)"
    for other, panel in re.findall(named, RUNBOOKS[RUNBOOKS.index("\n## ") :]):
        dashboard = other or dashboard
        if panel and panel != "Targets":  # of Prometheus itself
            found += 1
            assert any(title.split(",")[0] in (panel, panel.split(",")[0]) for title in titles[dashboard]), (
                panel
            )
    assert found > 15


def test_labels_are_asked_for_values_that_they_can_have() -> None:
    known = metrics.values()
    queries = [rule["expr"] for rule in ALERTS.values()]
    queries += [
        query.expr for _, panels in DASHBOARDS.values() for panel in panels for query in panel.queries
    ]
    asked = 0
    for name, matchers in re.findall(r"(dayz_relay_\w+)\{([^}]*)\}", " ".join(queries)):
        for label, words in re.findall(r'(\w+)!?=~?"([^"]*)"', matchers):
            of_metric = known.get((re.sub(r"_(bucket|sum|count)$", "", name), label))
            if of_metric:
                asked += 1
                assert set(words.split("|")) <= set(of_metric), f"{name}: {label}"
    assert asked > 8


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_metrics_that_exist(name: str) -> None:
    asked = set(re.findall(r"dayz_relay_\w+", ALERTS[name]["expr"]))
    assert {re.sub(r"_(bucket|sum|count)$", "", one) for one in asked} <= metrics.names()


def test_the_runbooks_name_metrics_that_exist() -> None:
    asked = {re.sub(r"_(bucket|sum|count)$", "", one) for one in re.findall(r"dayz_relay_\w+", RUNBOOKS)}
    assert asked <= metrics.names()
