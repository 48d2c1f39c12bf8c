"""A dashboard around its panels: variables, times, links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring.generate.panels import SOURCE, Document, arranged

if TYPE_CHECKING:
    from monitoring.generate.panels import Panel

VARIABLES = {
    "instance": "label_values(sluice_slots, instance)",
    "upstream": 'label_values(sluice_upstream_healthy{instance=~"$instance"}, upstream)',
    "model": 'label_values(sluice_requests_total{instance=~"$instance"}, model)',
    "key": 'label_values(sluice_requests_total{instance=~"$instance"}, key)',
}


def dashboard(uid: str, title: str, text: str, rows: dict[str, list[Panel]]) -> Document:
    """The whole of it, as Grafana imports it."""
    return {
        "uid": uid,
        "title": title,
        "description": text,
        "tags": ["sluice", "llm"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source(), *(_variable(name) for name in VARIABLES)]},
        "links": [_others()],
        "annotations": {"list": [_restarts()]},
        "panels": arranged(rows),
    }


def _source() -> Document:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
    }


def _variable(name: str) -> Document:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": VARIABLES[name], "refId": name},
        "definition": VARIABLES[name],
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Also what has no such label yet, such as a request that was refused before its choice.
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _others() -> Document:
    return {
        "type": "dashboards",
        "title": "Sluice",
        "tags": ["sluice"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
    }


def _restarts() -> Document:
    return {
        "name": "Restarts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "orange",
        "expr": 'changes(sluice_process_restarts_total{instance=~"$instance"}[1m]) > 0',
        "step": "30s",
        "titleFormat": "restart",
        "textFormat": "{{process}}",
    }
