"""The worker's heartbeat to its supervisor: a byte on a pipe, sent by the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os

BEAT_SECONDS = 0.5


class Heartbeat:
    """Beats from its creation until it is closed, unless the event loop is blocked."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._next: asyncio.TimerHandle | None = None
        self._beat()

    def close(self) -> None:
        """Stop beating."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
            os.close(self._descriptor)

    def _beat(self) -> None:
        # A full pipe means that the supervisor is behind; a broken one that it has died.
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._descriptor, b".")
        self._next = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)
