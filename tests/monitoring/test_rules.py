from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from proxy.settings import Settings
from tests.monitoring.prometheus import MONITORING
from tests.monitoring.test_dashboards import exported, metrics_in


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Every `alert` or every `record` by its name."""
    documents = [
        yaml.safe_load(path.read_text()) for path in sorted((MONITORING / "rules").glob("*.yml"))
    ]
    groups = [group for document in documents for group in document["groups"]]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


ALERTS, RECORDS = rules("alert"), rules("record")
TESTS = "\n".join(path.read_text() for path in sorted((MONITORING / "tests").glob("*.yml")))


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_is_wrong_and_what_to_do(name: str) -> None:
    """How urgent it is, one line of what happens, and some sentences of advice."""
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"].endswith(".")
    assert len(alert["annotations"]["description"].split(". ")) >= 2


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tried_both_ways(name: str) -> None:
    """Promtool sees it fire, and sees it hold its peace nearby."""
    assert f'ALERTS{{alertname="{name}", alertstate="firing"}}' in TESTS
    assert re.search(rf"alertname: {name}, eval_time: \w+, exp_alerts: \[\]", TESTS)


@pytest.mark.parametrize("name", [*ALERTS, *RECORDS])
def test_a_rule_asks_for_metrics_that_exist(name: str) -> None:
    """Exported by Sluice, or recorded by another rule."""
    expr = (ALERTS | RECORDS)[name]["expr"]
    for record in RECORDS:
        expr = expr.replace(record, "")
    assert metrics_in(expr) <= exported()


def test_what_is_recorded_is_used() -> None:
    """No rule is worked out for nobody."""
    asked = " ".join(alert["expr"] for alert in ALERTS.values())
    assert [name for name in RECORDS if name not in asked] == []


def test_the_readme_lists_every_alert() -> None:
    """In the rules' own order."""
    readme = (MONITORING / "README.md").read_text()
    assert re.findall(r"^\| `(Sluice\w+)` \|", readme, re.MULTILINE) == list(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_leads_to_its_page(name: str) -> None:
    """A section of the runbook with its name, and how urgent it is."""
    page, _, section = ALERTS[name]["annotations"]["runbook_url"].partition("#")
    text = (MONITORING.parent / page).read_text()
    assert section == name.lower()
    assert f"\n## {name}\n\nSeverity: {ALERTS[name]['labels']['severity']}.\n" in text


def test_the_runbook_has_no_page_for_nobody() -> None:
    """In the rules' own order."""
    text = (MONITORING.parent / "docs" / "runbook.md").read_text()
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == list(ALERTS)


def test_advice_names_only_settings_that_exist() -> None:
    """Nobody looks for a setting in the middle of the night that never was."""
    known = {f"SLUICE_{name.upper()}" for name in Settings.model_fields} | {"SLUICE_CONFIG"}
    places = [*(MONITORING / "rules").glob("*.yml"), MONITORING.parent / "docs" / "runbook.md"]
    for path in places:
        assert set(re.findall(r"SLUICE_[A-Z_]+", path.read_text())) <= known, path
