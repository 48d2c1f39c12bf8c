"""The kinds of panel, and how they come to lie on the grid of 24 columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

COLUMNS = 24
SOURCE: Document = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED = "green", "#EAB839", "red"


@dataclass(frozen=True, slots=True)
class Query:
    """One query: PromQL, and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel before it has its place; `width` and `height` are cells of the grid."""

    body: Document
    width: int = 8
    height: int = 8


def lines(
    title: str,
    text: str,
    *queries: Query,
    unit: str = "short",
    width: int = 8,
    stacked: bool = False,
    **more: Any,
) -> Panel:
    """Lines over time; stacked areas where the sum matters as well.

    `more` may hold `most` (the upper end of the axis) and `colors` (by series).
    """
    custom: Document = {
        "drawStyle": "line",
        "lineWidth": 1 if stacked else 2,
        "fillOpacity": 40 if stacked else 6,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    defaults: Document = {"unit": unit, "min": 0, "custom": custom}
    if "most" in more:
        defaults["max"] = more["most"]
    body = _panel("timeseries", title, text, queries)
    body["fieldConfig"] = {"defaults": defaults, "overrides": _colored(more.get("colors", {}))}
    body["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel(body, width)


def stat(
    title: str, text: str, query: Query, unit: str, steps: tuple[tuple[float, str], ...] = ()
) -> Panel:
    """One figure with its recent course; `steps` color it from a value on."""
    body = _panel("stat", title, text, (query,))
    body["fieldConfig"] = {
        "defaults": {
            "unit": unit,
            "color": {"mode": "thresholds"},
            "thresholds": _thresholds(steps),
        },
        "overrides": [],
    }
    body["options"] = {
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "value",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel(body, width=3, height=4)


def heatmap(title: str, text: str, query: Query, unit: str, width: int = 8) -> Panel:
    """A histogram over time: the darker, the more."""
    body = _panel("heatmap", title, text, (query,))
    body["targets"][0]["format"] = "heatmap"
    body["options"] = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "yAxis": {"unit": unit, "axisPlacement": "left"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "legend": {"show": False},
    }
    return Panel(body, width)


def states(title: str, text: str, query: Query, names: tuple[str, str], width: int = 8) -> Panel:
    """When each series was 0 and when 1; `names` says what these mean."""
    body = _panel("state-timeline", title, text, (query,))
    named = {
        "0": {"text": names[0], "color": RED, "index": 0},
        "1": {"text": names[1], "color": GREEN, "index": 1},
    }
    body["fieldConfig"] = {
        "defaults": {
            "custom": {"fillOpacity": 70, "lineWidth": 0},
            "mappings": [{"type": "value", "options": named}],
        },
        "overrides": [],
    }
    body["options"] = {
        "mergeValues": True,
        "showValue": "never",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
    }
    return Panel(body, width)


def table(title: str, text: str, query: Query, unit: str, width: int = 8) -> Panel:
    """The sums over the whole time shown, the largest first."""
    body = _panel("table", title, text, (query,))
    body["targets"][0] |= {"format": "table", "instant": True, "range": False}
    body["transformations"] = [
        {"id": "organize", "options": {"excludeByName": {"Time": True}}},
        {"id": "sortBy", "options": {"sort": [{"field": "Value", "desc": True}]}},
    ]
    value = {"matcher": {"id": "byName", "options": "Value"}}
    body["fieldConfig"] = {
        "defaults": {},
        "overrides": [value | {"properties": [{"id": "unit", "value": unit}]}],
    }
    body["options"] = {"showHeader": True, "cellHeight": "sm"}
    return Panel(body, width)


def arranged(rows: dict[str, list[Panel]]) -> list[Document]:
    """All panels with their places and numbers, row by row under their headings."""
    placed: list[Document] = []
    top = 0
    for heading, panels in rows.items():
        if heading:
            row = {"type": "row", "title": heading, "collapsed": False, "panels": []}
            placed.append(row | {"gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1}})
            top += 1
        left = lowest = 0
        for panel in panels:
            if left + panel.width > COLUMNS:
                left, top, lowest = 0, top + lowest, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            placed.append(panel.body | {"gridPos": place})
            left += panel.width
            lowest = max(lowest, panel.height)
        top += lowest
    return [panel | {"id": number} for number, panel in enumerate(placed, 1)]


def _panel(kind: str, title: str, text: str, queries: tuple[Query, ...]) -> Document:
    targets = [
        {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query.expr}
        | ({"legendFormat": query.legend} if query.legend else {})
        for place, query in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": SOURCE,
        "targets": targets,
    }


def _thresholds(steps: tuple[tuple[float, str], ...]) -> Document:
    first: Document = {"value": None, "color": GREEN}
    return {
        "mode": "absolute",
        "steps": [first, *({"value": value, "color": color} for value, color in steps)],
    }


def _colored(colors: dict[str, str]) -> list[Document]:
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
        }
        for name, color in colors.items()
    ]
