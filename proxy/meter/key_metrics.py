"""What the limits of keys do, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.meter.key_instruments import KeyInstruments


class KeyMetrics:
    """Counts for one worker."""

    def __init__(self, instruments: KeyInstruments) -> None:
        self._instruments = instruments

    def know(self, key: str, limits: Iterable[str]) -> None:
        """Begin the series of a key with limits, so that its first refusal shows as a rise."""
        self._instruments.uncounted[key,].inc(0)
        for limit in limits:
            self._instruments.limited[key, limit].inc(0)

    def limited(self, key: str, limit: str) -> None:
        """A limit of the key said no."""
        self._instruments.limited[key, limit].inc()

    def uncounted(self, key: str) -> None:
        """A request of the key came while the store was away."""
        self._instruments.uncounted[key,].inc()

    def left(self, key: str, limit: str, remaining: float) -> None:
        """So much is left of a limit now."""
        self._instruments.remaining[key, limit].set(remaining)

    def budget(self, key: str, usd: float, left_usd: float) -> None:
        """A key's budget, and what is left of it in this period."""
        self._instruments.budget[key,].set(usd)
        self._instruments.budget_left[key,].set(left_usd)
