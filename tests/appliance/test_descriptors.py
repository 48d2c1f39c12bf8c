from __future__ import annotations

import resource

import pytest

from proxy.appliance import descriptors


def test_a_roomy_machine_gets_what_it_needs() -> None:
    """Two connections for each stream and each waiting request, and room for a burst."""
    fitted = descriptors.fit(1000, 500, hard_limit=1_000_000, somaxconn=4096)
    assert fitted.connections >= 2 * (1500 + 8000)
    assert fitted.files > fitted.connections
    assert fitted.backlog >= 4096
    assert fitted.warnings == ()


def test_a_tight_limit_costs_the_burst_first() -> None:
    """Below the hard limit there is less room for bursts, and no complaint while streams fit."""
    fitted = descriptors.fit(1000, 500, hard_limit=4096, somaxconn=4096)
    assert 2 * 1500 <= fitted.connections < fitted.files <= 4096
    assert fitted.warnings == ()


def test_too_tight_a_limit_is_said() -> None:
    """What cannot fit is named with the limit and the two settings."""
    fitted = descriptors.fit(10_000, 1000, hard_limit=1024, somaxconn=65_535)
    assert fitted.files <= 1024
    (warning,) = fitted.warnings
    assert "1024" in warning
    assert "SLUICE_MAX_STREAMS" in warning


@pytest.mark.parametrize(("streams", "said"), [(100, False), (1000, True)])
def test_a_short_backlog_is_said_if_it_matters(streams: int, said: bool) -> None:
    """`somaxconn` is mentioned only where a burst of all streams would not fit in it."""
    fitted = descriptors.fit(streams, 0, hard_limit=100_000, somaxconn=128)
    assert any("somaxconn" in warning for warning in fitted.warnings) is said


def test_the_limit_is_raised_as_far_as_it_goes() -> None:
    """The soft limit becomes the hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        hard = descriptors.raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_somaxconn_is_a_number() -> None:
    """It is read from the kernel, or is its old default."""
    assert descriptors.somaxconn() >= 128
