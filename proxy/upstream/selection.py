"""Selects the upstream of an attempt: a pure function (power of two choices, panic mode)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Candidate:
    """One upstream that serves the model, with the inputs of the selection."""

    name: str
    priority: int = 0
    weight: float = 1.0
    in_flight: int = 0
    limit: int | None = None
    open_at: float = 0.0
    """From when on it is available: in the past, unless ejected or cooling down."""
    tries: int = 0
    """The number of this request's attempts at it."""


def select(
    candidates: Sequence[Candidate],
    now: float,
    random: Callable[[], float],
    *,
    in_order: bool = False,
) -> Candidate | None:
    """Select the candidate for the next attempt; None if all are full or there are none.

    Of the available ones, the least tried come first, so that another upstream precedes a repeat;
    then the lowest priority tier; within it the less loaded, by weight, of two random ones ("power
    of two choices"). If none is available, the one that will be first is used ("panic mode").

    `random` returns numbers in [0, 1). `in_order` selects the first of the tier, for requests
    without a model, whose files and batches are at one upstream.
    """
    free = [
        candidate
        for candidate in candidates
        if candidate.limit is None or candidate.in_flight < candidate.limit
    ]
    if not free:
        return None
    available = [candidate for candidate in free if candidate.open_at <= now]
    if not available:
        return min(free, key=lambda each: (each.open_at, each.tries, each.priority))
    first = min((each.tries, each.priority) for each in available)
    tier = [each for each in available if (each.tries, each.priority) == first]
    if in_order or len(tier) == 1:
        return tier[0]
    # Drawn with replacement, so that idle upstreams are used in proportion to their weights.
    first_draw, second_draw = _draw_by_weight(tier, random()), _draw_by_weight(tier, random())
    if second_draw.in_flight / second_draw.weight < first_draw.in_flight / first_draw.weight:
        return second_draw
    return first_draw


def has_sibling(candidates: Sequence[Candidate], tries: int, now: float) -> bool:
    """Whether a candidate with fewer tries is available."""
    return any(
        candidate.tries < tries
        and candidate.open_at <= now
        and (candidate.limit is None or candidate.in_flight < candidate.limit)
        for candidate in candidates
    )


def _draw_by_weight(tier: Sequence[Candidate], fraction: float) -> Candidate:
    """Return the candidate at a fraction, in [0, 1), of the cumulative weights."""
    edges = list(accumulate(each.weight for each in tier))
    point = fraction * edges[-1]
    return next((each for each, edge in zip(tier, edges, strict=True) if point < edge), tier[-1])
