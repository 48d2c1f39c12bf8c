"""Detects workers that the kernel's OOM killer kills repeatedly.

Restarting them unchanged would only loop. A single SIGKILL may be an operator's. Two workers that
the kernel counts as OOM-killed within a minute, or three consecutive short runs of the same worker
that end by SIGKILL, are not a coincidence.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.appliance.monitor import Run

_BY_SIGKILL = 128 + signal.SIGKILL
WITHIN_SECONDS = 60.0
_FOR_WANT_OF_MEMORY = 2
_IN_A_ROW = 3
SHORT_LIFE_SECONDS = 10.0


class RepeatedKills:
    """Counts kills; `oom_kills` returns how many processes the kernel has OOM-killed so far."""

    def __init__(
        self, oom_kills: Callable[[], int | None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._oom_kills = oom_kills
        self._now = now
        self._known: int | None = None
        self._latest: int | None = None
        self._for_memory: deque[float] = deque()
        self._in_a_row: dict[int, int] = {}

    def look(self) -> None:
        """Read the kernel's counter; the first call is at the start.

        It reads files: call it outside the event loop.
        """
        self._latest = self._oom_kills()
        if self._known is None:
            self._known = self._latest

    def died(self, worker: int, run: Run) -> bool:
        """Note a worker's end, after a `look`. Return whether to reduce the load.

        If so, counting starts again.
        """
        if run.status != _BY_SIGKILL or run.ended_by_us:
            self._in_a_row[worker] = 0
            return False
        now = self._now()
        if self._killed_by_kernel():
            self._for_memory.append(now)
        while self._for_memory and now - self._for_memory[0] > WITHIN_SECONDS:
            self._for_memory.popleft()
        row = self._in_a_row.get(worker, 0) if run.seconds < SHORT_LIFE_SECONDS else 0
        self._in_a_row[worker] = row + 1
        if len(self._for_memory) < _FOR_WANT_OF_MEMORY and row + 1 < _IN_A_ROW:
            return False
        self._for_memory.clear()
        self._in_a_row[worker] = 0
        return True

    def _killed_by_kernel(self) -> bool:
        known, self._known = self._known, self._latest
        return known is not None and self._known is not None and self._known > known
