"""Watches one running stream with one timer: its clocks, its pings, and orders to stop it.

The timer is set for the earliest moment at which anything can be due, and looks then; an event
that passes sets no timer, so a token costs nothing here.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Protocol, Self

from proxy.errors import SluiceError
from proxy.relay.client import Client
from proxy.relay.clocks import Clocks, Moments, expired, next_look

_ANOTHER_LOOK_SECONDS = 0.005


class Passage(Protocol):
    """What is known of the bytes that pass."""

    data_at: float | None

    @property
    def between_events(self) -> bool:
        """Whether a ping may stand here."""

    @property
    def ping(self) -> bytes:
        """What a ping is here."""

    @property
    def first_token_at(self) -> float | None:
        """When the first token came; None until then."""


class Watch:
    """A context in which a stream runs; leaving it raises the error of the clock that ran out."""

    def __init__(
        self,
        clocks: Clocks,
        passage: Passage,
        client: Client,
        *,
        called_at: float,
        sent_at: float,
        pings: bool = True,
    ) -> None:
        self._clocks = clocks
        self._passage = passage
        self._client = client
        self._called_at = called_at
        self._sent_at = sent_at
        self._pings = pings
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None
        self._error: SluiceError | None = None
        self._taken = -1
        self._stuck_since: float | None = None
        self._doubted = False

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._look()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            assert self._error is not None
            raise self._error from None

    def stop(self, error: SluiceError) -> None:
        """End the stream with this error, from wherever it waits; only the first order counts."""
        if self._error is None:
            self._error = error
            self._limit.reschedule(self._loop.time())

    def stop_after(self, seconds: float, error: SluiceError) -> None:
        """The same, if the stream has not ended by itself within so many seconds."""
        self._loop.call_later(seconds, self._stop_if_running, error)

    def _stop_if_running(self, error: SluiceError) -> None:
        if self._timer is not None and not self._timer.cancelled():
            self.stop(error)

    def _look(self) -> None:
        now = time.monotonic()
        self._see_whether_stuck(now)
        at = Moments(
            called_at=self._called_at,
            sent_at=self._sent_at,
            first_token_at=self._passage.first_token_at,
            data_at=max(self._passage.data_at or self._sent_at, self._client.lagged_until),
            written_at=self._client.written_at,
            client_stuck_since=self._stuck_since,
        )
        if error := expired(self._clocks, at, now):
            self._doubt(error)
            return
        self._doubted = False
        if now - at.written_at >= self._clocks.ping:
            self._ping(now)
        wait = next_look(self._clocks, at, now) - now
        self._timer = self._loop.call_later(wait, self._look)

    def _doubt(self, error: SluiceError) -> None:
        """Look once more: an event loop that was held up has not yet read what has come."""
        if self._doubted:
            self.stop(error)
        else:
            self._doubted = True
            self._timer = self._loop.call_later(_ANOTHER_LOOK_SECONDS, self._look)

    def _ping(self, now: float) -> None:
        if self._pings and self._passage.between_events and not self._stuck_since:
            self._client.write(self._passage.ping, now)
        else:
            # No place for a ping: look for one again after another interval.
            self._client.written_at = now

    def _see_whether_stuck(self, now: float) -> None:
        waiting = self._client.waiting
        taken = self._client.framed - waiting
        if not waiting:
            self._stuck_since = None
        elif taken != self._taken or self._stuck_since is None:
            self._stuck_since = now
        self._taken = taken
