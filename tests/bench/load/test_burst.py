from __future__ import annotations

import pytest

from bench.load.burst import BurstLoad, measure_burst
from bench.load.target import Target
from bench.upstream.pace import Pace

LOAD = BurstLoad(connections=50, pace=Pace(100, 2, 0), patience=5)


def test_all_connections_are_served(target: Target) -> None:
    """Connected, accepted, answered: each moment is known, and they come in this order."""
    figures = measure_burst(target, LOAD)
    connected, answered = figures["connected_seconds"], figures["answered_seconds"]
    assert connected["count"] == answered["count"] == 50
    assert connected["largest"] <= figures["all_accepted_seconds"]
    assert connected["p50"] <= answered["p50"]
    assert figures["failures"] == {}


def test_nobody_listens(nobody: Target) -> None:
    """Every refusal is counted by its name."""
    figures = measure_burst(nobody, LOAD)
    assert figures["answered_seconds"] is None
    assert figures["all_accepted_seconds"] is None
    assert figures["failures"] == {"ECONNREFUSED": 50}


def test_a_queue_that_overflowed(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an answer proves a connection, so all are accepted when the last one is answered."""
    counts = iter([3, 9])
    monkeypatch.setattr("bench.load.burst.overflows", lambda: next(counts))
    figures = measure_burst(target, LOAD)
    assert figures["overflows"] == 6
    assert figures["all_accepted_seconds"] == figures["answered_seconds"]["largest"]
