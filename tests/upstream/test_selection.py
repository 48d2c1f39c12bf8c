"""Who gets the next attempt."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from proxy.upstream.selection import Candidate, has_sibling, select

INF = float("inf")


def picks(*candidates: Candidate, now: float = 100.0, times: int = 200) -> set[str]:
    """Everybody who is chosen in many draws."""
    draw = random.Random(7)
    chosen = (select(candidates, now, draw.random) for _ in range(times))
    return {candidate.name for candidate in chosen if candidate}


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([], set()),
        ([Candidate("a")], {"a"}),
        ([Candidate("a"), Candidate("b")], {"a", "b"}),
        # The lowest tier with a healthy member.
        ([Candidate("a", priority=1), Candidate("b", priority=0)], {"b"}),
        ([Candidate("a", priority=1), Candidate("b", open_at=101)], {"a"}),
        ([Candidate("a", open_at=100), Candidate("b", priority=1)], {"a"}),
        # A sibling before the same again, even in a higher tier.
        ([Candidate("a", tries=1), Candidate("b")], {"b"}),
        ([Candidate("a", tries=1), Candidate("b", priority=9)], {"b"}),
        ([Candidate("a", tries=2), Candidate("b", tries=1)], {"b"}),
        ([Candidate("a", tries=1), Candidate("b", open_at=INF)], {"a"}),
        # Full is full; the next tier takes over.
        ([Candidate("a", in_flight=2, limit=2), Candidate("b", priority=1)], {"b"}),
        ([Candidate("a", in_flight=2, limit=2)], set()),
        ([Candidate("a", in_flight=1, limit=2)], {"a"}),
        # Somebody always stays: whoever is back soonest.
        ([Candidate("a", open_at=200), Candidate("b", open_at=150)], {"b"}),
        ([Candidate("a", open_at=INF), Candidate("b", open_at=150, priority=3)], {"b"}),
        ([Candidate("a", open_at=INF, tries=1), Candidate("b", open_at=INF)], {"b"}),
        ([Candidate("a", open_at=INF)], {"a"}),
        ([Candidate("a", open_at=150, in_flight=1, limit=1), Candidate("b", open_at=200)], {"b"}),
    ],
)
def test_who_may_be_chosen(candidates: list[Candidate], expected: set[str]) -> None:
    """Model, tier, health, room and earlier tries, one after the other."""
    assert picks(*candidates) == expected


def test_the_less_loaded_of_two_is_chosen() -> None:
    """With two drawn, the one with fewer streams for its weight gets the attempt."""
    busy, idle = Candidate("busy", in_flight=9), Candidate("idle", in_flight=1)
    assert select([busy, idle], 0.0, iter([0.1, 0.9]).__next__) is idle
    assert select([busy, idle], 0.0, iter([0.9, 0.1]).__next__) is idle
    assert select([busy, idle], 0.0, iter([0.1, 0.1]).__next__) is busy


def test_load_is_measured_by_weight() -> None:
    """Six streams on a weight of four are less than two on a weight of one."""
    big, small = Candidate("big", weight=4, in_flight=6), Candidate("small", in_flight=2)
    assert select([small, big], 0.0, iter([0.1, 0.9]).__next__) is big
    assert select([big, small], 0.0, iter([0.1, 0.9]).__next__) is big


def test_each_upstream_owns_a_stretch_of_the_numbers() -> None:
    """Its first number included, its last one not: none is drawn for two, and none for nobody."""
    tier = [Candidate("a"), Candidate("b", weight=2), Candidate("c")]
    drawn = {at: select(tier, 0.0, iter([at, at]).__next__) for at in (0, 0.25, 0.5, 0.75)}
    assert [candidate.name for candidate in drawn.values() if candidate] == ["a", "b", "b", "c"]


def test_idle_upstreams_are_used_by_their_weights() -> None:
    """Three to one, over many draws."""
    draw = random.Random(7)
    idle = [Candidate("a", weight=3), Candidate("b", weight=1)]
    counts = Counter(
        candidate.name for _ in range(4000) if (candidate := select(idle, 0.0, draw.random))
    )
    assert 0.72 < counts["a"] / 4000 < 0.78


def test_streams_spread_by_weight() -> None:
    """Long streams end up on each upstream in proportion, within a few."""
    draw = random.Random(7)
    running = Counter({"a": 0, "b": 0, "c": 0})
    weights = {"a": 2.0, "b": 1.0, "c": 1.0}
    for _ in range(400):
        tier = [Candidate(n, weight=w, in_flight=running[n]) for n, w in weights.items()]
        chosen = select(tier, 0.0, draw.random)
        assert chosen is not None
        running[chosen.name] += 1
    assert running["a"] == pytest.approx(200, abs=8)
    assert running["b"] == pytest.approx(100, abs=8)


def test_requests_without_a_model_keep_to_one_place() -> None:
    """Files and batches lie where they were made: the first of the tier, while it is there."""
    tier = [Candidate("a", in_flight=50), Candidate("b")]
    assert all(select(tier, 0.0, random.random, in_order=True) is tier[0] for _ in range(20))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Candidate("b"), True),
        (Candidate("b", priority=5), True),
        (Candidate("b", tries=1), False),
        (Candidate("b", open_at=100), True),
        (Candidate("b", open_at=101), False),
        (Candidate("b", in_flight=1, limit=1), False),
        (Candidate("b", in_flight=1, limit=2), True),
    ],
)
def test_a_sibling_is_one_that_could_be_asked_now(other: Candidate, expected: bool) -> None:
    """Tried less, in order, and with room."""
    assert has_sibling([Candidate("a", tries=1), other], 1, 100.0) is expected


def test_nobody_is_their_own_sibling() -> None:
    """A single upstream has none."""
    assert not has_sibling([Candidate("a", tries=1)], 1, 100.0)
