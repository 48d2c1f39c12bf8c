"""The upstreams with their state: requests in flight and health."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from proxy.errors import NotFound, Overloaded
from proxy.upstream.health import EjectionPolicy, Health, HealthEvent, HealthState, transition
from proxy.upstream.selection import Candidate, has_sibling, select

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

    from proxy.upstream.targets import Target


_FIRST = -(10**9)
"""Precedes every configurable priority."""


class Observer(Protocol):
    """Receives upstreams' events for metrics."""

    def retried(self, upstream: str, reason: str) -> None:
        """Note a retry because this upstream failed, by a bounded set of reasons."""

    def ejected(self, upstream: str) -> None:
        """Note an ejection."""

    def returned(self, upstream: str) -> None:
        """Note the return of an ejected upstream."""


class Unobserved:
    """An observer that does nothing."""

    def retried(self, upstream: str, reason: str) -> None:
        """See `Observer`."""

    def ejected(self, upstream: str) -> None:
        """See `Observer`."""

    def returned(self, upstream: str) -> None:
        """See `Observer`."""


@dataclass(slots=True)
class Member:
    """One upstream and its state."""

    target: Target
    in_flight: int = 0
    health: Health = field(default_factory=Health)
    last_failure: str = ""
    """The last failure, one word; empty if none."""

    def candidate(self, tries: int) -> Candidate:
        """Return the member as a candidate for selection."""
        open_at = self.health.open_at()
        if self.target.probe_path and self.health.state is HealthState.EJECTED:
            # Leave it to the health check instead of a client's request.
            open_at = float("inf")
        target = self.target
        return Candidate(
            target.name,
            target.priority,
            target.weight,
            self.in_flight,
            target.max_streams,
            open_at,
            tries,
        )


class Pool:
    """All upstreams of this worker. `clock` returns seconds of a monotonic clock."""

    def __init__(
        self,
        targets: Iterable[Target],
        policy: EjectionPolicy,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._members = {target.name: Member(target) for target in targets}
        self._policy = policy
        self._clock = clock
        self._random = random
        self.observer: Observer = Unobserved()

    def members(self) -> Iterable[Member]:
        """Return every upstream, in the order of the settings."""
        return self._members.values()

    def next_for(self, model: str, tries: Counter[str], preferred: str = "") -> Member:
        """Select the upstream for the next attempt of a request with these tries.

        A preferred one comes first while it is available, whatever the priorities.
        Raises `NotFound` if none serves the model, and `Overloaded` if all that do are full.
        """
        candidates = self._candidates(model, tries)
        if not candidates:
            raise NotFound(f"No upstream serves the model {model[:200]!r}.")
        if preferred:
            candidates = [_preferring(candidate, preferred) for candidate in candidates]
        chosen = select(candidates, self._clock(), self._random, in_order=not model)
        if chosen is None:
            raise Overloaded("Every upstream for this model is full.", retry_after=1.0)
        return self._members[chosen.name]

    def has_sibling(self, member: Member, model: str, tries: Counter[str]) -> bool:
        """Whether another upstream, tried less often, is available."""
        candidates = self._candidates(model, tries)
        return has_sibling(candidates, tries[member.target.name], self._clock())

    def has_room(self, model: str, tries: Counter[str]) -> bool:
        """Whether any upstream for the model can take another stream."""
        candidates = self._candidates(model, tries)
        return select(candidates, self._clock(), self._random) is not None

    def member(self, name: str) -> Member:
        """Return the upstream of that name. Raises `KeyError`."""
        return self._members[name]

    def find(self, name: str) -> Member | None:
        """Return the upstream of that name; None if there is none."""
        return self._members.get(name)

    def replace(self, targets: Iterable[Target]) -> None:
        """Replace the upstreams. One with the same name and URL keeps its state."""
        kept: dict[str, Member] = {}
        for target in targets:
            member = self._members.get(target.name)
            if member is None or member.target.base != target.base:
                member = Member(target)
            member.target = target
            kept[target.name] = member
        self._members = kept

    def is_waiting(self, member: Member) -> bool:
        """Whether it is ejected and the time has not expired."""
        return (
            member.health.state is HealthState.EJECTED
            and self._clock() < member.health.ejected_until
        )

    def report(self, member: Member, event: HealthEvent, failure: str = "") -> None:
        """Report an event of a request; `failure` is one word."""
        member.last_failure = failure or member.last_failure
        before = member.health.state
        member.health = transition(member.health, event, self._clock(), self._policy)
        now = member.health.state
        if (
            now is HealthState.EJECTED
            and before is not HealthState.EJECTED
            and event is not HealthEvent.ABANDONED
        ):
            self.observer.ejected(member.target.name)
        elif now is HealthState.UP and before is not HealthState.UP:
            self.observer.returned(member.target.name)

    def cool_down(self, member: Member, seconds: float) -> None:
        """Pause an upstream that asked for it (`Retry-After`)."""
        now = self._clock()
        member.health = member.health.cooling_down(now + seconds, now)

    def status(self) -> list[dict[str, object]]:
        """Return each upstream's state for `/status`; seconds are from now."""
        now = self._clock()
        return [
            {
                "name": member.target.name,
                "state": member.health.state.value,
                "streams": member.in_flight,
                "failures_in_a_row": member.health.failures_in_a_row + member.health.cuts_in_a_row,
                "back_in_seconds": _left(member.health.ejected_until, now),
                "benched_for_seconds": _left(member.health.cooling_until, now),
                "last_failure": member.last_failure,
            }
            for member in self._members.values()
        ]

    def _candidates(self, model: str, tries: Counter[str]) -> list[Candidate]:
        serving = (member for member in self._members.values() if member.target.serves(model))
        return [member.candidate(tries[member.target.name]) for member in serving]


def _preferring(candidate: Candidate, name: str) -> Candidate:
    return replace(candidate, priority=_FIRST) if candidate.name == name else candidate


def _left(until: float, now: float) -> float:
    """Return the seconds left, rounded up: 0 is now, not half a millisecond from now."""
    return math.ceil(max(0.0, until - now) * 1000) / 1000
