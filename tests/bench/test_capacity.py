from __future__ import annotations

from dataclasses import replace

import pytest

from bench.capacity import Costs, Setting, costs_of, fullest, paper, queueing, token_bytes, walls
from tests.bench.report.results import results, run

COSTS = Costs(cpu_per_token=20e-6, process_bytes=30 * 1024, kernel_bytes=10 * 1024)


def streams(wall: str, setting: Setting) -> int:
    """How many streams one wall leaves."""
    (found,) = [one.streams for one in walls(COSTS, setting) if one.name == wall]
    return found


def test_one_core_at_fifty_tokens_per_second() -> None:
    """The core itself is the first wall: 0.7 s of it, at 50 tokens of 20 µs per stream."""
    first = walls(COSTS, Setting())[0]
    assert first.name == "CPU"
    assert first.streams == pytest.approx(700, abs=1)


def test_sixteen_cores_of_slow_streams() -> None:
    """The ports to a single upstream address are the first wall, and more addresses move it."""
    slow = Setting(cores=16, rate=1.0)
    assert walls(COSTS, slow)[0].name == "ports to the upstream"
    assert walls(COSTS, replace(slow, upstream_addresses=100))[0].name == "CPU"


def test_memory() -> None:
    """Processes and kernel both count."""
    assert streams("memory", Setting()) == int(4 * 2**30 * 0.8 / (40 * 1024))


def test_the_network() -> None:
    """A token costs its event and the frame around it."""
    gigabit = streams("network", Setting(link_bits=1e9))
    assert gigabit == int(0.7e9 / (50 * 8 * (token_bytes() + 90)))


def test_a_fuller_core() -> None:
    """Waiting grows without bound as the core fills up."""
    assert queueing(COSTS, 0.5) == pytest.approx(10e-6)
    assert queueing(COSTS, 0.99) > 900e-6


def test_a_hundred_machines_by_lot() -> None:
    """The fullest is a few per cent above the mean, and the same on every run."""
    uneven = fullest(100, 10_000, draws=200)
    assert 1.02 < uneven < 1.06
    assert uneven == fullest(100, 10_000, draws=200)


def test_a_run_s_own_costs() -> None:
    """They are its medians."""
    runs = [
        run("tokens-200", "appliance", cpu_us_per_token=18.0),
        run("memory", "appliance", bytes_per_stream=2048.0, kernel_bytes_per_stream=100.0),
    ]
    costs = costs_of(results(runs), "appliance")
    assert costs is not None
    assert costs.cpu_per_token == pytest.approx(18e-6)
    assert costs.process_bytes == 2048
    assert "one core" in paper(costs, Setting())


def test_a_run_that_did_not_measure_them() -> None:
    """No figure is made up."""
    assert costs_of(results([]), "appliance") is None
