"""Time that passes only when nothing is left to do: a wait of minutes takes no time at all."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING

import pytest

from proxy.relay import splice

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock:
    """Seconds that are counted, for the event loop and for what asks `time.monotonic`."""

    def __init__(self) -> None:
        self._now = time.monotonic()

    def now(self) -> float:
        """Seconds, as `time.monotonic` gives them."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self._now += seconds


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for the next timer it moves the clock there."""

    clock: FakeClock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Nothing is due at any time: somebody outside has to wake the loop.
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.clock.advance(timeout)
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a fake clock's."""

    def __init__(self, clock: FakeClock) -> None:
        selector = _Selector()
        selector.clock = self.clock = clock
        super().__init__(selector)

    def time(self) -> float:
        return self.clock.now()


_CLOCK = FakeClock()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Timeouts, pings and stalls are tested without waiting for them."""
    return {"fake_time": lambda: FakeTimeLoop(_CLOCK)}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock of the loop is that of all else, a blocking sleep's included."""
    monkeypatch.setattr(time, "monotonic", _CLOCK.now)
    monkeypatch.setattr(time, "sleep", _CLOCK.advance)
    monkeypatch.setattr(splice, "monotonic", _CLOCK.now)
    return _CLOCK
