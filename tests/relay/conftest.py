"""A fake clock that advances only when the event loop is idle, so that waiting takes no time."""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import TYPE_CHECKING

import pytest

from proxy.relay import callback_relay

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock:
    """The time of the event loop and of `time.monotonic`."""

    def __init__(self) -> None:
        self._now = time.monotonic()

    def now(self) -> float:
        """Return the time in seconds, like `time.monotonic`."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Advance by so many seconds."""
        self._now += seconds


class _Selector(selectors.DefaultSelector):
    """Advances the clock to the next timer instead of waiting for it."""

    clock: FakeClock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # There is no timer: the event loop waits for something outside it.
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.clock.advance(timeout)
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop that uses a fake clock."""

    def __init__(self, clock: FakeClock) -> None:
        selector = _Selector()
        selector.clock = self.clock = clock
        super().__init__(selector)

    def time(self) -> float:
        return self.clock.now()


_CLOCK = FakeClock()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these tests on the fake clock."""
    return {"fake_time": lambda: FakeTimeLoop(_CLOCK)}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Use the event loop's clock everywhere else, too, including in a blocking sleep."""
    monkeypatch.setattr(time, "monotonic", _CLOCK.now)
    monkeypatch.setattr(time, "sleep", _CLOCK.advance)
    monkeypatch.setattr(callback_relay, "monotonic", _CLOCK.now)
    return _CLOCK
