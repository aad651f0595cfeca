"""The dashboards ask for metrics that exist, and get an answer from a relay that runs."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from docs import dashboards, metrics
from docs.dashboards import FOLDER
from docs.panels import DASHBOARDS, LINK, LINK_COLOURS, STAT, TABLE, TEXT, Panel
from services.relay.protocol.link_states import LinkState
from services.relay.service.lifecycle import cancelled
from services.sim.dayz.generations import Generation
from services.sim.main import keep_asking, live
from tests.flows.conftest import make_world
from tests.monitoring.prometheus import PROMETHEUS_THERE, Prometheus, prometheus, promtool_test

RUNS_FOR_S = 25.0
PANELS = [(name, panel) for name, (_, panels) in DASHBOARDS.items() for panel in panels]
IDS = [f"{name}: {panel.title}" for name, panel in PANELS]

MAY_BE_EMPTY: dict[tuple[str, str], str] = {
    ("fleet", "Alerts that fire"): "none fires",
    ("relay", "Disk of the store"): "`dayz-relay up` does not run here",
}
"""Dashboard, title of the panel -> why a healthy relay has nothing to show there."""

PROCESS_METRICS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}
PROMETHEUS_METRICS = {"up", "ALERTS"}


def filled(expr: str) -> str:
    """What Grafana makes of its variables."""
    return expr.replace("$__rate_interval", "15s").replace("$instance", "mixed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched() -> AsyncIterator[Prometheus]:
    """A Prometheus that has watched a busy relay for a while."""
    async for world in make_world({one.value: one for one in Generation}, poll_s=0.5):
        targets = {
            service.name: service.admin.removeprefix("http://")
            for service in (world.relay.modapi, world.relay.uplink)
        }
        busy = [
            asyncio.create_task(live(side.mod, rate=5.0, players=5, seed=number))
            for number, side in enumerate(world.sides.values())
        ]
        busy.append(asyncio.create_task(keep_asking(world.takaro, every_s=0.5)))
        try:
            async with prometheus(targets) as api:
                await asyncio.sleep(RUNS_FOR_S)
                yield api
        finally:
            for task in busy:
                await cancelled(task)


@pytest.mark.flow
@PROMETHEUS_THERE
@pytest.mark.parametrize(("name", "panel"), PANELS, ids=IDS)
@pytest.mark.asyncio(loop_scope="module")
async def test_every_query_of_a_panel_has_data(watched: Prometheus, name: str, panel: Panel) -> None:
    for query in panel.queries:
        values = await watched.values(filled(query.expr))
        known = [value for value in values if not math.isnan(value)]
        assert known or (name, panel.title) in MAY_BE_EMPTY, f"nothing for {query.expr}"


@pytest.mark.flow
@PROMETHEUS_THERE
@pytest.mark.asyncio(loop_scope="module")
async def test_a_healthy_relay_sets_off_no_alert(watched: Prometheus) -> None:
    groups = (await watched.get("/rules"))["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert {rule["health"] for rule in rules.values()} == {"ok"}
    active = {name for name, rule in rules.items() if rule["state"] != "inactive"}
    assert active <= {"LoopLagging"}  # a machine that is busy with other tests


@pytest.mark.flow
@PROMETHEUS_THERE
@pytest.mark.asyncio(loop_scope="module")
async def test_the_services_show_what_the_page_of_metrics_has_and_nothing_else(watched: Prometheus) -> None:
    found = set(await watched.get("/label/__name__/values"))
    assert {name for name in found if name.startswith("dayz_relay_")} == metrics.exported()


def test_panels_marked_as_empty_exist() -> None:
    assert MAY_BE_EMPTY.keys() <= {(name, panel.title) for name, panel in PANELS}


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=IDS)
def test_every_query_asks_for_metrics_that_exist(name: str, panel: Panel) -> None:
    for query in panel.queries:
        asked = re.findall(r"\b(?:dayz_relay|process)_\w+|\bup\b|\bALERTS\b", query.expr)
        assert asked
        for one in asked:
            known = metrics.names() | PROCESS_METRICS | PROMETHEUS_METRICS
            assert re.sub(r"_(bucket|sum|count)$", "", one) in known, one


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_files_are_up_to_date(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == dashboards.written(name), "run `make docs`"
    assert {path.stem for path in FOLDER.glob("*.json")} == DASHBOARDS.keys()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_width_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((FOLDER / f"{name}.json").read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(x + place["x"], y + place["y"]) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells and max(x for x, _ in cells) < 24
        taken |= cells
    assert len(taken) == 24 * (max(y for _, y in taken) + 1), "a gap"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_panel_takes_the_data_source_of_the_variable(name: str) -> None:
    dashboard = json.loads((FOLDER / f"{name}.json").read_text())
    (variable, *_) = dashboard["templating"]["list"]
    assert variable["type"] == "datasource" and variable["query"] == "prometheus"
    asking = [panel for panel in dashboard["panels"] if panel["type"] != TEXT]
    assert {panel["datasource"]["uid"] for panel in asking} == {"${" + variable["name"] + "}"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_of_the_present_ask_for_the_present(name: str) -> None:
    for panel in json.loads((FOLDER / f"{name}.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            now = panel["type"] in (STAT, TABLE)
            assert (target.get("instant", False), target.get("range", True)) == (now, not now), panel["title"]


LINKS = [
    query.expr
    for _, panel in PANELS
    for query in panel.queries
    if LINK in (panel.unit, query.unit) and "instance" in query.expr
]


@PROMETHEUS_THERE
@pytest.mark.parametrize("expr", LINKS)
def test_a_link_has_one_state_at_a_time_and_the_worse_the_greater(expr: str, tmp_path: Path) -> None:
    states = [LinkState.READY, LinkState.WAITING, LinkState.CONNECTING, LinkState.REFUSED]
    series = {state: ["stale"] * len(states) for state in states}
    for minute, state in enumerate(states):
        series[state][minute] = "1"
    test = {
        "input_series": [
            {
                "series": f'dayz_relay_takaro_state{{instance="mixed",state="{state.value}"}}',
                "values": " ".join(values),
            }
            for state, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": filled(expr),
                "eval_time": f"{minute}m",
                "exp_samples": [
                    {
                        "labels": '{instance="mixed"}' if "by (instance)" in expr else "{}",
                        "value": list(LINK_COLOURS).index(state),
                    }
                ],
            }
            for minute, state in enumerate(states)
        ],
    }
    promtool_test([test], tmp_path)


def test_from_the_row_of_a_server_to_its_dashboard_the_time_and_the_data_source_stay() -> None:
    (table,) = [one for one in dashboards.dashboard("fleet")["panels"] if one["title"] == "Servers"]
    (server,) = [one for one in table["fieldConfig"]["overrides"] if one["matcher"]["options"] == "Server"]
    path, _, query = server["properties"][0]["value"][0]["url"].partition("?")
    assert path == f"/d/{dashboards.dashboard('instance')['uid']}"
    assert query.split("&") == [
        "var-instance=${__value.text}",
        "${datasource:queryparam}",
        "${__url_time_range}",
    ]


def test_every_state_of_a_link_has_its_colour() -> None:
    assert LINK_COLOURS.keys() == set(LinkState)


def test_the_page_of_metrics_is_up_to_date() -> None:
    assert metrics.PAGE.read_text() == metrics.page(), "run `make docs`"
