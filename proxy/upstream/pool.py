"""The upstreams with their live state: what runs on each, and how each is."""

from __future__ import annotations

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
"""Before every priority that can be set."""


class Observer(Protocol):
    """Who wants to count what happens to upstreams."""

    def retried(self, upstream: str, reason: str) -> None:
        """Another attempt is made because this upstream failed; the reason is one of a few."""

    def ejected(self, upstream: str) -> None:
        """It was taken out."""

    def returned(self, upstream: str) -> None:
        """It is back."""


class Unobserved:
    """Nobody counts."""

    def retried(self, upstream: str, reason: str) -> None:
        """See `Observer`."""

    def ejected(self, upstream: str) -> None:
        """See `Observer`."""

    def returned(self, upstream: str) -> None:
        """See `Observer`."""


@dataclass(slots=True)
class Member:
    """One upstream and what is going on there."""

    target: Target
    in_flight: int = 0
    health: Health = field(default_factory=Health)
    last_failure: str = ""
    """What went wrong last, in a word; empty while nothing has."""

    def candidate(self, tries: int) -> Candidate:
        """The member as the choice sees it."""
        open_at = self.health.open_at()
        if self.target.probe_path and self.health.state is HealthState.EJECTED:
            # A probe will find out; no client's request has to.
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
    """All upstreams of this worker. `clock` gives seconds of a monotonic clock."""

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
        """Every upstream, in the order of the settings."""
        return self._members.values()

    def next_for(self, model: str, tries: Counter[str], preferred: str = "") -> Member:
        """The upstream for the next attempt of a request that has tried so much so far.

        One that is preferred goes first while it may be asked, whatever the priorities.

        Raises `NotFound` if nobody serves the model, `Overloaded` if all who do are full.
        """
        candidates = self._candidates(model, tries)
        if not candidates:
            raise NotFound(f"No upstream serves the model {model[:200]!r}.")
        if preferred:
            candidates = [_preferring(one, preferred) for one in candidates]
        chosen = select(candidates, self._clock(), self._random, in_order=not model)
        if chosen is None:
            raise Overloaded("Every upstream for this model is full.", retry_after=1.0)
        return self._members[chosen.name]

    def has_sibling(self, member: Member, model: str, tries: Counter[str]) -> bool:
        """Whether another upstream could be asked instead, that was tried less."""
        candidates = self._candidates(model, tries)
        return has_sibling(candidates, tries[member.target.name], self._clock())

    def has_room(self, model: str, tries: Counter[str]) -> bool:
        """Whether any upstream for the model has room for another stream."""
        candidates = self._candidates(model, tries)
        return select(candidates, self._clock(), self._random) is not None

    def member(self, name: str) -> Member:
        """The upstream of that name. Raises `KeyError` if there is none."""
        return self._members[name]

    def find(self, name: str) -> Member | None:
        """The upstream of that name; None if there is none, or none any more."""
        return self._members.get(name)

    def replace(self, targets: Iterable[Target]) -> None:
        """Have these from now on. One that has kept its name and address keeps its standing."""
        kept: dict[str, Member] = {}
        for target in targets:
            member = self._members.get(target.name)
            if member is None or member.target.base != target.base:
                member = Member(target)
            member.target = target
            kept[target.name] = member
        self._members = kept

    def is_waiting(self, member: Member) -> bool:
        """Whether it is out and its time has not come."""
        return (
            member.health.state is HealthState.EJECTED
            and self._clock() < member.health.ejected_until
        )

    def report(self, member: Member, event: HealthEvent, failure: str = "") -> None:
        """Something happened with a request there; `failure` says in a word what went wrong."""
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
        """It asked to be left alone for so long."""
        now = self._clock()
        member.health = member.health.cooling_down(now + seconds, now)

    def status(self) -> list[dict[str, object]]:
        """Each upstream's standing, for people and for gauges; seconds are from now."""
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
        serving = (one for one in self._members.values() if one.target.serves(model))
        return [one.candidate(tries[one.target.name]) for one in serving]


def _preferring(candidate: Candidate, name: str) -> Candidate:
    return replace(candidate, priority=_FIRST) if candidate.name == name else candidate


def _left(until: float, now: float) -> float:
    return round(max(0.0, until - now), 3)
