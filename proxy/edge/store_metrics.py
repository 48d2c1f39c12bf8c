"""Records the store's calls and availability as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.state.store import Observer

if TYPE_CHECKING:
    from proxy.meter.key_instruments import KeyInstruments


class StoreMetrics(Observer):
    """Observes the store's awaited calls."""

    def __init__(self, instruments: KeyInstruments) -> None:
        self._instruments = instruments

    def call(self, seconds: float, result: str) -> None:
        """Record a call's duration and its result: `ok` or the reason of the failure."""
        self._instruments.store_seconds[result,].observe(seconds)

    def state(self, *, available: bool) -> None:
        """Record that the store became available or unavailable."""
        self._instruments.store_up[()].set(int(available))
