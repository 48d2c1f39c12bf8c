"""A dashboard around its panels: variables, times, links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitoring.generate.panels import SOURCE, Document, arranged

if TYPE_CHECKING:
    from monitoring.generate.panels import Panel

VARIABLES = {
    "instance": "label_values(sluice_slots, instance)",
    "upstream": 'label_values(sluice_upstream_healthy{instance=~"$instance"}, upstream)',
    "model": 'label_values(sluice_model_requests_total{instance=~"$instance"}, model)',
    "key": 'label_values(sluice_requests_total{instance=~"$instance"}, key)',
}


def dashboard(
    uid: str, title: str, text: str, rows: dict[str, list[Panel]], one_of: tuple[str, ...] = ()
) -> Document:
    """The whole of it, as Grafana imports it; of the variables in `one_of` one is chosen."""
    variables = [_variable(name, several=name not in one_of) for name in VARIABLES]
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
        "templating": {"list": [_source(), *variables]},
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


def _variable(name: str, *, several: bool) -> Document:
    everything: Document = {"text": "All", "value": "$__all"}
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": VARIABLES[name], "refId": name},
        "definition": VARIABLES[name],
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": True,
        # Also what has no such label yet, such as a request that was refused before its choice.
        "allValue": ".*",
        "current": {key: [value] for key, value in everything.items()} if several else everything,
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
