from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.monitoring.prometheus import NEEDS_PROMETHEUS
from tests.monitoring.test_rules import ALERTS, RECORDS

if TYPE_CHECKING:
    from tests.monitoring.observed import Observed

pytestmark = NEEDS_PROMETHEUS

SEEN = {
    "SluiceBudgetSpent",
    "SluiceCertificateExpiring",
    "SluiceCuts",
    "SluiceLimitsWithoutStore",
    "SluiceLogsLost",
    "SluiceShedding",
    "SluiceSlotsNearlyFull",
    "SluiceUnpriced",
    "SluiceUpstreamEjected",
}
"""What the load gives cause for; most would fire if it went on for minutes."""
QUIET = {
    "SluiceCertificateExpired",
    "SluiceDown",
    "SluiceNoTraffic",
    "SluiceNoUpstream",
    "SluiceFirstTokenSlowFast",
    "SluiceFirstTokenSlowLasting",
}


def test_every_rule_works_on_real_metrics(observed: Observed) -> None:
    """Prometheus itself finds no fault with any rule, and knows all of them."""
    groups = observed.prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {*ALERTS, *RECORDS}
    assert {(rule["name"], rule["health"]) for rule in rules if rule["health"] != "ok"} == set()


@pytest.mark.parametrize("name", RECORDS)
def test_every_recording_rule_records(observed: Observed, name: str) -> None:
    """Shares, from 0 to 1."""
    shares = observed.samples(name)
    assert shares
    assert all(0 <= share <= 1 for share in shares)


def test_alerts_have_cause_where_there_is_one(observed: Observed) -> None:
    """The labels that they join are those of real metrics, not only those of their unit tests."""
    active = f"ALERTS[{observed.until - observed.since:.0f}s]"
    seen = set(observed.in_the_end(f"max by (alertname) (max_over_time({active}))", "alertname"))
    assert seen >= SEEN
    assert seen & QUIET == set()
