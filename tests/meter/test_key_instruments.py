"""The instruments of keys and of the store."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from proxy.meter.instruments import Maker
from proxy.meter.key_instruments import KeyInstruments


def test_nothing_is_shown_before_there_is_a_limit() -> None:
    """A Sluice without limits exposes no series of theirs."""
    registry = CollectorRegistry()
    KeyInstruments(Maker(registry))
    labelled = [
        sample for family in registry.collect() for sample in family.samples if sample.labels
    ]
    assert labelled == []
