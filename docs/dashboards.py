"""The dashboards of deploy/grafana/dashboards, as `make docs` draws them from the panels of panels.py."""

import json
from pathlib import Path
from typing import Any

from docs.panels import DASHBOARDS, LINES, LINK, STAT, TABLE, Panel

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
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
}
"""To the other dashboards, at the same time: what broke at ten to nine is looked for in each."""


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    """From left to right, row by row."""
    placed: list[dict[str, Any]] = []
    x = y = height = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > ROW_UNITS:
            x, y = 0, y + height
        height = {STAT: 4, TABLE: 6}.get(panel.kind, 8)
        place = {"x": x, "y": y, "w": panel.width, "h": height}
        placed.append({"id": number, "title": panel.title, "gridPos": place} | _drawn(panel))
        x += panel.width
    return placed


def _drawn(panel: Panel) -> dict[str, Any]:
    table = panel.kind == TABLE
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.kind == LINES:
        defaults["min"] = 0
        defaults["custom"] = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never"}
        if panel.stacked:
            defaults["custom"]["stacking"] = {"mode": "normal"}
    if panel.kind == STAT:
        colours: list[tuple[float | None, str]] = [(None, "text")]
        if panel.alarm is not None:
            colours = [(None, "green"), (panel.alarm, "red")]
        if panel.good is not None:
            colours = [(None, "red"), (panel.good, "green")]
        steps = [{"value": value, "color": colour} for value, colour in colours]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    drawn: dict[str, Any] = {
        "type": panel.kind,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "expr": query.expr}
            | ({"instant": True, "format": "table"} if table else {})
            | ({"legendFormat": query.legend} if query.legend and not table else {})
            for number, query in enumerate(panel.queries)
        ],
    }
    if panel.about:
        drawn["description"] = panel.about
    if panel.by_name:
        drawn["options"] = {"textMode": "name"}
    if table:
        drawn["transformations"] = _columns(panel)
        if any(query.legend == LINK for query in panel.queries):
            drawn["fieldConfig"]["overrides"] = [_LINKED]
    return drawn


_LINKED = {
    "matcher": {"id": "byName", "options": "Server"},
    "properties": [
        {
            "id": "links",
            "value": [{"title": "This server", "url": "/d/dayz-relay-instance?var-instance=${__value.text}"}],
        }
    ],
}


def _columns(panel: Panel) -> list[dict[str, Any]]:
    """One row for each set of labels, its columns named."""
    one = len(panel.queries) == 1
    names = {
        ("Value" if one else f"Value #{chr(ord('A') + number)}"): query.legend
        for number, query in enumerate(panel.queries)
    }
    hidden = {"Time": True}
    if LINK in names.values():  # its value is always 1, the state is in the label
        hidden["Value #A"] = True
        names = {"instance": "Server", "state": LINK} | names
        del names["Value #A"]
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "renameByName": names}},
    ]


def written(name: str) -> str:
    """The text of a dashboard's file."""
    return json.dumps(dashboard(name), indent=1) + "\n"


def write() -> None:
    """Writes all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        (FOLDER / f"{name}.json").write_text(written(name))
