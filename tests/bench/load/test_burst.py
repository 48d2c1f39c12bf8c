from __future__ import annotations

from bench.load.burst import BurstLoad, measure_burst
from bench.load.target import Target
from bench.upstream.pace import Pace

LOAD = BurstLoad(connections=50, pace=Pace(100, 2, 0), patience=5)


def test_all_connections_are_served(target: Target) -> None:
    """Both moments are known of each: connected, and accepted no earlier."""
    figures = measure_burst(target, LOAD)
    assert figures["connected_seconds"]["count"] == figures["accepted_seconds"]["count"] == 50
    assert figures["accepted_seconds"]["p50"] >= figures["connected_seconds"]["p50"]
    assert figures["failures"] == {}


def test_nobody_listens(nobody: Target) -> None:
    """Every refusal is counted by its name."""
    figures = measure_burst(nobody, LOAD)
    assert figures["accepted_seconds"] is None
    assert figures["failures"] == {"ECONNREFUSED": 50}
