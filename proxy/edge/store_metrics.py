"""How the store is, as metrics and in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.state.store import Observer

if TYPE_CHECKING:
    from proxy.meter.key_instruments import KeyInstruments


class StoreMetrics(Observer):
    """Told by the store of every call that was waited for."""

    def __init__(self, instruments: KeyInstruments) -> None:
        self._instruments = instruments

    def call(self, seconds: float, result: str) -> None:
        """A call took so long, and gave `ok` or the reason why not."""
        self._instruments.store_seconds[result,].observe(seconds)

    def state(self, *, available: bool) -> None:
        """The store went away, or came back."""
        self._instruments.store_up[()].set(int(available))
