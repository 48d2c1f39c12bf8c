from __future__ import annotations

import resource

import pytest

from proxy.appliance import nginx_sizing
from proxy.settings import Settings


def test_a_roomy_machine_gets_what_it_needs() -> None:
    """Two connections for each stream and each waiting request, and room for a burst."""
    fitted = nginx_sizing.fit(1000, 500, processes=1, hard_limit=1_000_000, somaxconn=4096)
    assert fitted.connections >= 2 * (1500 + 8000)
    assert fitted.files > fitted.connections
    assert fitted.backlog >= 4096
    assert fitted.warnings == ()


def test_a_tight_limit_costs_the_burst_first() -> None:
    """Below the hard limit there is less room for bursts, and no complaint while streams fit.

    Files run out no later than connections: nginx then waits to accept, and does not hang up.
    """
    fitted = nginx_sizing.fit(1000, 500, processes=1, hard_limit=4096, somaxconn=4096)
    assert fitted.connections == fitted.files == 4096
    assert fitted.connections >= 2 * 1500
    assert fitted.warnings == ()


def test_too_tight_a_limit_is_said() -> None:
    """What cannot fit is named with the limit and the two settings."""
    fitted = nginx_sizing.fit(
        10_000, 1000, processes=2, fixed=True, hard_limit=1024, somaxconn=65_535
    )
    assert fitted.files <= 1024
    assert fitted.processes == 2
    (warning,) = fitted.warnings
    assert "1024" in warning
    assert "SLUICE_MAX_STREAMS" in warning


@pytest.mark.parametrize("hard_limit", [4096, 20_000, 20_128])
def test_as_many_processes_as_the_limit_asks_for(hard_limit: int) -> None:
    """The limit holds for each process: where one could not hold all streams, more can.

    Chance deals the connections out, so each has room for some more than its part.
    """
    fitted = nginx_sizing.fit(10_000, 1000, processes=1, hard_limit=hard_limit, somaxconn=65_535)
    assert fitted.processes > 1
    assert fitted.files <= hard_limit
    assert fitted.connections * fitted.processes > 1.1 * 2 * 11_000
    assert fitted.warnings == ()


def test_a_limit_below_all_sense() -> None:
    """It is said, and nothing worse happens; nobody loses a process that is there already."""
    for hard_limit in (64, 128, 129):
        fitted = nginx_sizing.fit(100_000, 0, processes=64, hard_limit=hard_limit, somaxconn=65_535)
        assert fitted.processes == 64
        assert any(str(hard_limit) in warning for warning in fitted.warnings)


def test_one_process_where_one_is_enough() -> None:
    """More would only wake more often, for fewer tokens each time."""
    fitted = nginx_sizing.fit(9000, 900, processes=1, hard_limit=20_000, somaxconn=65_535)
    assert fitted.processes == 1


@pytest.mark.parametrize(("workers", "processes"), [(1, 1), (2, 1), (3, 2), (16, 8)])
def test_half_as_many_processes_as_workers(workers: int, processes: int) -> None:
    """A token costs nginx half of what it costs the whole, so half as many keep up."""
    limits = {"hard_limit": 1_000_000, "somaxconn": 4096}
    sizes = nginx_sizing.sizes_for(Settings(workers=workers), **limits)
    assert sizes.processes == processes
    computed = nginx_sizing.sizes_for(Settings(workers=workers, nginx_workers=3), **limits)
    assert computed.processes == 3


@pytest.mark.parametrize(("streams", "warned"), [(100, False), (1000, True)])
def test_a_short_backlog_is_said_if_it_matters(streams: int, warned: bool) -> None:
    """`somaxconn` is mentioned only where a burst of all streams would not fit in it."""
    fitted = nginx_sizing.fit(streams, 0, processes=1, hard_limit=100_000, somaxconn=128)
    assert any("somaxconn" in warning for warning in fitted.warnings) is warned


def test_the_limit_is_raised_as_far_as_it_goes() -> None:
    """The soft limit becomes the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        hard = nginx_sizing.raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_somaxconn_is_a_number() -> None:
    """It is read from the kernel, or is its old default."""
    assert nginx_sizing.somaxconn() >= 128
