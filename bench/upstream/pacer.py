"""One timer for all streams: a heap of due times behind a single timerfd.

libuv's own timers count whole milliseconds, which would clump the tokens of many streams into one
wake-up and flatter every contestant; a timerfd wakes the loop at the nanosecond asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import os
import time
from typing import Protocol

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_SECOND = 1_000_000_000


class Paced(Protocol):
    """Something with a schedule."""

    def beat(self, now: int) -> int | None:
        """Called when due; returns the next due time in monotonic nanoseconds, or None."""


class _TimerSpec(ctypes.Structure):
    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanoseconds", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
    )


class Pacer:
    """Calls what is due, in order of its due time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = self._libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._heap: list[tuple[int, int, Paced]] = []
        self._order = 0
        self._armed = 0
        loop.add_reader(self._timer, self._fire)

    def close(self) -> None:
        """Forgets everything that was due."""
        self._loop.remove_reader(self._timer)
        os.close(self._timer)
        self._heap.clear()

    def add(self, due: int, paced: Paced) -> None:
        """Calls `paced.beat` at the given monotonic nanosecond, at once if that has passed."""
        self._order += 1
        heapq.heappush(self._heap, (due, self._order, paced))
        if not self._armed or due < self._armed:
            self._arm(due)

    def _fire(self) -> None:
        with contextlib.suppress(BlockingIOError):  # re-armed for later since it became readable
            os.read(self._timer, 8)
        self._armed = 0
        heap = self._heap
        # Read once: what becomes due while this runs waits for the next round, so that new
        # requests are read in between even when the schedule cannot be kept.
        horizon = time.monotonic_ns()
        while heap and heap[0][0] <= horizon:
            _, order, paced = heap[0]
            following = paced.beat(time.monotonic_ns())
            if following is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (following, order, paced))
        if heap:
            self._arm(heap[0][0])

    def _arm(self, due: int) -> None:
        self._armed = due
        # A time of zero would disarm it.
        spec = _TimerSpec(0, 0, due // _SECOND, max(1, due % _SECOND))
        self._libc.timerfd_settime(self._timer, _ABSOLUTE, ctypes.byref(spec), None)
