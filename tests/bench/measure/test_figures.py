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
    found = distribution([7])
    assert found is not None
    assert (found.p50, found.p99, found.largest) == (7, 7, 7)


def test_no_value() -> None:
    """There is no distribution, rather than zeros."""
    assert distribution([]) is None
    assert summarise([]) is None


def test_several_rounds() -> None:
    """The median and the range."""
    found = summarise([3, 1, 2])
    assert found is not None
    assert (found.median, found.lowest, found.highest, found.rounds) == (2, 1, 3, 3)
