"""How the store is, as metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from proxy.edge.store_metrics import StoreMetrics
from proxy.meter.instruments import Maker
from proxy.meter.key_instruments import KeyInstruments


def test_calls_and_state() -> None:
    """Each call with what came of it, and whether the store is there."""
    registry = CollectorRegistry()
    metrics = StoreMetrics(KeyInstruments(Maker(registry)))
    metrics.call(0.001, "ok")
    metrics.call(0.05, "timeout")
    metrics.state(available=False)
    calls = "sluice_store_call_seconds_count"
    assert registry.get_sample_value(calls, {"result": "timeout"}) == 1
    assert registry.get_sample_value("sluice_store_up") == 0
