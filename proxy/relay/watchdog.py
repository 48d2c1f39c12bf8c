"""Watches one running stream with one timer: timeouts, pings, and requests to stop it.

The timer is set for the earliest time at which anything can be due. Relayed events do not reset it,
so that a token costs nothing here.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

from proxy.errors import SluiceError
from proxy.relay.body_filter import BodyFilter
from proxy.relay.client_writer import ClientWriter
from proxy.relay.timeouts import Timeouts, Timestamps, expired_timeout, next_check

_CONFIRM_SECONDS = 0.005


class StreamWatchdog:
    """An async context manager for a stream; its exit raises the error of an expired timeout."""

    def __init__(
        self,
        timeouts: Timeouts,
        body_filter: BodyFilter,
        client: ClientWriter,
        *,
        called_at: float,
        sent_at: float,
        pings: bool = True,
    ) -> None:
        self._timeouts = timeouts
        self._body_filter = body_filter
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
        self._confirming = False

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._check()
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
        """End the stream with this error; only the first call counts."""
        if self._error is None:
            self._error = error
            self._limit.reschedule(self._loop.time())

    def _check(self) -> None:
        now = time.monotonic()
        self._note_progress(now)
        times = Timestamps(
            called_at=self._called_at,
            sent_at=self._sent_at,
            first_token_at=self._body_filter.first_token_at,
            data_at=max(self._body_filter.data_at or self._sent_at, self._client.congested_until),
            written_at=self._client.written_at,
            client_stuck_since=self._stuck_since,
        )
        if error := expired_timeout(self._timeouts, times, now):
            self._confirm(error)
            return
        self._confirming = False
        if now - times.written_at >= self._timeouts.ping:
            self._ping(now)
        wait = next_check(self._timeouts, times, now) - now
        self._timer = self._loop.call_later(wait, self._check)

    def _confirm(self, error: SluiceError) -> None:
        """Check once more: after a blocked event loop, received data may not have been read yet."""
        if self._confirming:
            self.stop(error)
        else:
            self._confirming = True
            self._timer = self._loop.call_later(_CONFIRM_SECONDS, self._check)

    def _ping(self, now: float) -> None:
        if self._pings and self._body_filter.between_events and not self._stuck_since:
            self._client.write(self._body_filter.ping, now)
        # If no ping can be inserted, the next one is due after another interval.
        self._client.written_at = now

    def _note_progress(self, now: float) -> None:
        waiting = self._client.waiting
        taken = self._client.wire_bytes - waiting
        if not waiting:
            self._stuck_since = None
        elif taken != self._taken or self._stuck_since is None:
            self._stuck_since = now
        self._taken = taken
