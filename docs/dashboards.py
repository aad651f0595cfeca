"""The dashboards of deploy/grafana/dashboards, as `make docs` draws them from the panels of panels.py."""

import json
from pathlib import Path
from typing import Any

from docs.panels import DASHBOARDS, LINES, LINK, LINK_COLOURS, STAT, TABLE, TEXT, Panel, Query

FOLDER = Path(__file__).parent.parent / "deploy" / "grafana" / "dashboards"
ROW_UNITS = 24


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard as Grafana reads it."""
    title, panels = DASHBOARDS[name]
    variables: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    ]
    if name == "instance":
        variables.append(
            {
                "name": "instance",
                "label": "Server",
                "type": "query",
                "datasource": _SOURCE,
                "query": {"query": "label_values(dayz_relay_takaro_state, instance)", "refId": "A"},
                "refresh": 2,
                "sort": 1,
            }
        )
    return {
        "uid": f"dayz-relay-{name}",
        "title": f"DayZ relay: {title}",
        "tags": ["dayz-relay"],
        "schemaVersion": 41,
        "refresh": "15s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [_OTHERS],
        "templating": {"list": variables},
        "panels": _placed(panels),
    }


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

_OTHERS = {
    "type": "dashboards",
    "tags": ["dayz-relay"],
    "title": "DayZ relay",
    "tooltip": "",
    "icon": "external link",
    "asDropdown": False,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
}
"""To the other dashboards, at the same time and of the same Prometheus: what broke at ten to nine is looked
for in each."""


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """From left to right, row by row."""
    placed: list[dict[str, Any]] = []
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > ROW_UNITS:
            x, y = 0, y + height
        height = panel.high or {STAT: 4, TABLE: 6}.get(panel.kind, 8)
        place = {"x": x, "y": y, "w": panel.width, "h": height}
        placed.append({"id": number, "title": panel.title, "gridPos": place} | _drawn(panel))
        x += panel.width
    return placed


def _drawn(panel: Panel) -> dict[str, Any]:
    if panel.kind == TEXT:
        return {"type": TEXT, "options": {"mode": "markdown", "content": panel.about}}
    lines = panel.kind == LINES
    defaults = {"unit": panel.unit} if lines else _shown(panel.unit, panel.alarm, panel.good)
    drawn: dict[str, Any] = {
        "type": panel.kind,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [_target(panel.kind, number, query) for number, query in enumerate(panel.queries)],
    }
    if panel.about:
        drawn["description"] = panel.about
    if lines:
        defaults["min"] = 0
        defaults["custom"] = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never"}
        if panel.stacked:
            defaults["custom"]["stacking"] = {"mode": "normal"}
        # Many counters are 0 as long as all is well: the tooltip has those that are not, the greatest first.
        drawn["options"] = {"tooltip": {"mode": "multi", "sort": "desc", "hideZeros": True}}
    if panel.kind == TABLE:
        defaults["custom"] = {"filterable": True}
        drawn["transformations"] = _columns(panel)
        drawn["fieldConfig"]["overrides"] = [_LINKED, *map(_column, panel.queries)]
        drawn["options"] = {"enablePagination": True, "sortBy": [_falling(one) for one in panel.queries[:2]]}
    return drawn


def _target(kind: str, number: int, query: Query) -> dict[str, Any]:
    """A number and a table say what is now: of a range, the last that was known would stand for hours."""
    target: dict[str, Any] = {"refId": chr(ord("A") + number), "expr": query.expr}
    if kind in (STAT, TABLE):
        target |= {"instant": True, "range": False}
    if kind == TABLE:
        target["format"] = "table"
    elif query.legend:
        target["legendFormat"] = query.legend
    return target


def _shown(unit: str, alarm: float | None = None, good: float | None = None) -> dict[str, Any]:
    """How a number is written, and in which colour."""
    if unit == LINK:
        states = {
            str(number): {"text": state.value, "color": colour, "index": number}
            for number, (state, colour) in enumerate(LINK_COLOURS.items())
        }
        return {"mappings": [{"type": "value", "options": states}]}
    colours: list[tuple[float | None, str]] = [(None, "text")]
    if alarm is not None:
        colours = [(None, "green"), (alarm, "red")]
    if good is not None:
        colours = [(None, "red"), (good, "green")]
    steps = [{"value": value, "color": colour} for value, colour in colours]
    return {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}


_LINKED = {
    "matcher": {"id": "byName", "options": "Server"},
    "properties": [
        {
            "id": "links",
            "value": [
                {
                    "title": "This server",
                    "url": "/d/dayz-relay-instance?var-instance=${__value.text}"
                    "&${datasource:queryparam}&${__url_time_range}",
                }
            ],
        }
    ],
}


def _column(query: Query) -> dict[str, Any]:
    shown = _shown(query.unit, query.alarm) | {"custom.cellOptions": {"type": "color-text"}}
    return {
        "matcher": {"id": "byName", "options": query.legend},
        "properties": [{"id": name, "value": value} for name, value in shown.items()],
    }


def _falling(query: Query) -> dict[str, Any]:
    return {"displayName": query.legend, "desc": True}


def _columns(panel: Panel) -> list[dict[str, Any]]:
    """One row for each set of labels, its columns named."""
    one = len(panel.queries) == 1
    names = {"instance": "Server"} | {
        ("Value" if one else f"Value #{chr(ord('A') + number)}"): query.legend
        for number, query in enumerate(panel.queries)
    }
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": names}},
    ]


def written(name: str) -> str:
    """The text of a dashboard's file."""
    return json.dumps(dashboard(name), indent=1) + "\n"


def write() -> None:
    """Writes all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(written(name))
