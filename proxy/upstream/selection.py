"""Which upstream gets the next attempt: a plain function over what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Candidate:
    """One upstream that serves the model, as far as choosing goes."""

    name: str
    priority: int = 0
    weight: float = 1.0
    in_flight: int = 0
    limit: int | None = None
    open_at: float = 0.0
    """From when on it may be asked: the past, unless it is ejected or cooling down."""
    tries: int = 0
    """How often this request has tried it."""


def select(
    candidates: Sequence[Candidate],
    now: float,
    random: Callable[[], float],
    *,
    in_order: bool = False,
) -> Candidate | None:
    """The candidate for the next attempt; None if all are full or there are none.

    Of those that may be asked, the least tried come first, so that a sibling goes before the same
    again; then the lowest priority tier; within it the less loaded, by weight, of two drawn at
    random. If none may be asked, the one that will be soonest: somebody always stays.

    `random` gives numbers in [0, 1). `in_order` takes the first of the tier instead of drawing:
    for requests that name no model, whose files and batches lie at one place.
    """
    free = [one for one in candidates if one.limit is None or one.in_flight < one.limit]
    if not free:
        return None
    askable = [one for one in free if one.open_at <= now]
    if not askable:
        return min(free, key=lambda one: (one.open_at, one.tries, one.priority))
    first = min((one.tries, one.priority) for one in askable)
    tier = [one for one in askable if (one.tries, one.priority) == first]
    if in_order or len(tier) == 1:
        return tier[0]
    # Drawn with replacement: idle upstreams are then used in proportion to their weights.
    one, other = _draw_by_weight(tier, random()), _draw_by_weight(tier, random())
    return other if other.in_flight / other.weight < one.in_flight / one.weight else one


def has_sibling(candidates: Sequence[Candidate], tries: int, now: float) -> bool:
    """Whether one may be asked now that was tried less often than so many times."""
    return any(
        one.tries < tries
        and one.open_at <= now
        and (one.limit is None or one.in_flight < one.limit)
        for one in candidates
    )


def _draw_by_weight(tier: Sequence[Candidate], at: float) -> Candidate:
    """The candidate on whose stretch of the summed weights `at`, in [0, 1), falls."""
    edges = list(accumulate(one.weight for one in tier))
    mark = at * edges[-1]
    return next((one for one, edge in zip(tier, edges, strict=True) if mark < edge), tier[-1])
