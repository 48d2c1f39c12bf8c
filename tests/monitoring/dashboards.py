"""The dashboards as Grafana reads them: their panels, their queries, their variables filled in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.monitoring.prometheus import MONITORING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.ref}"


def loaded() -> dict[str, dict[str, Any]]:
    """Each dashboard by the name of its file."""
    return {path.name: json.loads(path.read_text()) for path in FILES}


def queries() -> Iterator[Asked]:
    """Every query of every panel."""
    for name, document in loaded().items():
        for panel in document["panels"]:
            for target in panel.get("targets", ()):
                instant = bool(target.get("instant"))
                yield Asked(name, panel["title"], target["refId"], target["expr"], instant)


def variables(document: Mapping[str, Any]) -> dict[str, str]:
    """The query of each variable that asks Prometheus."""
    asking = (
        variable for variable in document["templating"]["list"] if variable["type"] == "query"
    )
    return {variable["name"]: variable["query"]["query"] for variable in asking}


def filled_in(expr: str, values: Mapping[str, str]) -> str:
    """The query as Grafana sends it."""
    whole = {"__rate_interval": "10s", "__range": "120s", **values}
    return re.sub(r"\$(\w+)", lambda match: whole[match[1]], expr)


def several(values: list[str]) -> str:
    """How Grafana writes several chosen values into a regular expression, inside quotes."""
    escaped = (re.sub(r"([\\^$*+?.()|{}\[\]])", r"\\\\\1", value) for value in values)
    return f"({'|'.join(escaped)})"
