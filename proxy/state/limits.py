"""Key limits: a reservation before each request, settled with the request's actual usage."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from proxy.state import script
from proxy.state.store import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.key_settings import KeyDefaults
    from proxy.state.store import Store

_RESERVE = script.load("reserve")
_SETTLE = script.load("settle")
_RENEW = script.load("renew")
_USAGE = script.load("usage")

LEASE_SECONDS = 10.0
"""A reservation whose worker has died expires after this time."""

_MICROSECONDS = 1_000_000
_NANODOLLARS = 1_000_000_000
_MOST = 2**52
"""Integers up to this are exact in Lua's doubles, and so is the sum of two."""


class Limit(StrEnum):
    """A kind of limit, as named in logs and metrics."""

    REQUESTS = "requests_per_minute"
    TOKENS = "tokens_per_minute"
    STREAMS = "max_streams"
    BUDGET = "budget_usd"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a key; 0 means no limit."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    max_streams: int = 0
    budget_usd: float = 0.0
    budget_period: str = "month"

    @classmethod
    def of(cls, key: KeyDefaults) -> Limits:
        """Return the limits of a configured key."""
        return cls(
            key.requests_per_minute or 0,
            key.tokens_per_minute or 0,
            key.max_streams or 0,
            key.budget_usd or 0.0,
            key.budget_period,
        )

    @property
    def any(self) -> bool:
        """Whether any limit is set."""
        counted = (self.requests_per_minute, self.tokens_per_minute, self.max_streams)
        return any(counted) or self.budget_usd > 0

    @property
    def period(self) -> str:
        """The budget's calendar period; empty without a budget."""
        return self.budget_period if self.budget_usd else ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests, tokens and cost of a request, expected or actual."""

    requests: int = 1
    tokens: int = 0
    usd: float = 0.0


NOTHING = Usage(requests=0)
"""The usage of a request that was not sent to an upstream."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is left of a key's limits; None without that limit. Times are seconds from now."""

    requests_left: int | None
    requests_whole_in: float
    tokens_left: int | None
    tokens_whole_in: float
    streams: int
    spent_usd: float
    held_usd: float
    """The expected cost of requests in flight."""
    period_ends_in: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a reservation."""

    limit: Limit | None
    """The limit that is exceeded; None if the reservation was made."""
    wait: float
    """Estimated seconds until the request would be admitted; 0 (unknown) for `max_streams`."""
    figures: Figures


class KeyLedger:
    """The store's record of one key's usage."""

    def __init__(
        self,
        store: Store,
        name: str,
        limits: Limits,
        now: Callable[[], float] | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.name = name
        self.limits = limits
        self._store = store
        self._now = now
        self._lease = _whole(lease_seconds * _MICROSECONDS)
        self._keys = tuple(key_of(name, part) for part in ("state", "leases", "held", "settled"))

    async def reserve(self, reservation: str, expected: Usage) -> Verdict:
        """Check all limits atomically, and reserve `expected` if none is exceeded.

        Idempotent for the same reservation id. Raises `StoreUnavailable`; the store may have made
        the reservation nevertheless, and `settle` ends it.
        """
        limits = self.limits
        answer = await self._store.run(
            _RESERVE,
            self._keys,
            (
                *(self._time(), reservation, self._lease),
                *(limits.requests_per_minute, limits.tokens_per_minute, limits.max_streams),
                *(_nano(limits.budget_usd), limits.period),
                *(_whole(expected.tokens), _nano(expected.usd)),
            ),
        )
        return _verdict(answer)

    def settle(self, reservation: str, used: Usage) -> asyncio.Future[Any]:
        """Replace the reserved usage by the actual usage. Idempotent.

        Raises `StoreUnavailable` at once or through the future; the caller must then retry.
        """
        limits = self.limits
        return self._store.send(
            _SETTLE,
            self._keys,
            (
                *(self._time(), reservation),
                *(limits.requests_per_minute, limits.tokens_per_minute, limits.period),
                *(used.requests, _whole(used.tokens), _nano(used.usd)),
            ),
        )

    def renew(self, held: Sequence[tuple[str, Usage]]) -> asyncio.Future[Any]:
        """Keep reservations alive for another `LEASE_SECONDS`.

        Raises `StoreUnavailable` at once or through the future.
        """
        pairs = (part for reservation, usage in held for part in (reservation, _nano(usage.usd)))
        arguments = (self._time(), self._lease, self.limits.period, *pairs)
        return self._store.send(_RENEW, self._keys, arguments)

    async def figures(self) -> Figures:
        """Read what the key has used and has left.

        Raises `StoreUnavailable`.
        """
        limits = self.limits
        arguments = (
            *(self._time(), limits.requests_per_minute),
            *(limits.tokens_per_minute, limits.period),
        )
        answer = await self._store.run(_USAGE, self._keys, arguments)
        return _verdict(answer).figures

    def _time(self) -> int | str:
        return "" if self._now is None else _whole(self._now() * _MICROSECONDS)


def _whole(number: float) -> int:
    return max(0, min(round(number), _MOST))


def _nano(usd: float) -> int:
    """Convert to nanodollars, rounded up: many small requests must not be free."""
    return max(0, min(math.ceil(usd * _NANODOLLARS - 1e-6), _MOST))


def _verdict(answer: Sequence[Any]) -> Verdict:
    allowed, limit, wait, now, requests, requests_in, tokens, tokens_in, *rest = answer
    streams, spent, held, ends = rest
    return Verdict(
        None if allowed else Limit(limit.decode()),
        wait / _MICROSECONDS,
        Figures(
            None if requests < 0 else requests,
            requests_in / _MICROSECONDS,
            None if tokens < 0 else tokens,
            tokens_in / _MICROSECONDS,
            streams,
            spent / _NANODOLLARS,
            held / _NANODOLLARS,
            max(0, ends - now) / _MICROSECONDS if ends else 0.0,
        ),
    )
