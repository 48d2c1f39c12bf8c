"""Records the metrics of key limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.meter.key_instruments import KeyInstruments


class KeyMetrics:
    """The key metrics of one worker."""

    def __init__(self, instruments: KeyInstruments) -> None:
        self._instruments = instruments

    def know(self, key: str, limits: Iterable[str]) -> None:
        """Create the series of a limited key, so that its first refusal is an increase."""
        self._instruments.uncounted[key,].inc(0)
        for limit in limits:
            self._instruments.limited[key, limit].inc(0)

    def limited(self, key: str, limit: str) -> None:
        """Count a request that a limit of the key refused."""
        self._instruments.limited[key, limit].inc()

    def uncounted(self, key: str) -> None:
        """Count a request of the key that came while the store was unavailable."""
        self._instruments.uncounted[key,].inc()

    def left(self, key: str, limit: str, remaining: float) -> None:
        """Set what is left of a limit."""
        self._instruments.remaining[key, limit].set(remaining)

    def budget(self, key: str, usd: float, left_usd: float) -> None:
        """Set a key's budget, and what is left of it in this period."""
        self._instruments.budget[key,].set(usd)
        self._instruments.budget_left[key,].set(left_usd)
