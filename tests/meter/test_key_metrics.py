"""What limits do, as metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from proxy.meter.instruments import Maker
from proxy.meter.key_instruments import KeyInstruments
from proxy.meter.key_metrics import KeyMetrics


def test_a_key_with_limits_is_there_from_the_start() -> None:
    """At 0: a series that begins with its first refusal would show no rise."""
    registry = CollectorRegistry()
    metrics = KeyMetrics(KeyInstruments(Maker(registry)))
    metrics.know("one", ["max_streams"])
    labels = {"key": "one", "limit": "max_streams"}
    assert registry.get_sample_value("sluice_limited_requests_total", labels) == 0
    unchecked = "sluice_limits_unchecked_requests_total"
    assert registry.get_sample_value(unchecked, {"key": "one"}) == 0
    metrics.limited("one", "max_streams")
    assert registry.get_sample_value("sluice_limited_requests_total", labels) == 1


def test_refusals_and_what_is_left() -> None:
    """By key and limit."""
    registry = CollectorRegistry()
    metrics = KeyMetrics(KeyInstruments(Maker(registry)))
    metrics.limited("one", "max_streams")
    metrics.uncounted("one")
    metrics.left("one", "max_streams", 3)
    metrics.budget("one", 5.0, 1.5)
    labels = {"key": "one", "limit": "max_streams"}
    assert registry.get_sample_value("sluice_limited_requests_total", labels) == 1
    assert registry.get_sample_value("sluice_key_remaining", labels) == 3
    assert registry.get_sample_value("sluice_key_budget_remaining_usd", {"key": "one"}) == 1.5
