"""The pulse that a worker's supervisor feels: a byte now and then, straight from the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os

BEAT_SECONDS = 0.5


class Pulse:
    """Beats from now on until it is closed; a loop that stands still does not."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._next: asyncio.TimerHandle | None = None
        self._beat()

    def close(self) -> None:
        """No more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
            os.close(self._descriptor)

    def _beat(self) -> None:
        # Full, the supervisor has enough to read; broken, it is gone, and so is this worker soon.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._descriptor, b".")
        self._next = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
