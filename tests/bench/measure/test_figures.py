from __future__ import annotations

import pytest

from bench.measure.figures import distribution, percentile, summarise


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_a_hundred_values(percent: float, value: int) -> None:
    """A percentile is one of the values: the nearest rank."""
    assert percentile(range(1, 101), percent) == value


def test_one_value() -> None:
    """It is every percentile."""
    percentiles = distribution([7])
    assert percentiles is not None
    assert (percentiles.p50, percentiles.p99, percentiles.largest) == (7, 7, 7)


def test_no_value() -> None:
    """There is no distribution, rather than zeros."""
    assert distribution([]) is None
    assert summarise([]) is None


def test_several_rounds() -> None:
    """The median and the range."""
    spread = summarise([3, 1, 2])
    assert spread is not None
    assert (spread.median, spread.lowest, spread.highest, spread.rounds) == (2, 1, 3, 3)
