"""Queues for requests whose key is at its `max_streams`, one per key; they hold no slot.

Only the first of a queue asks the store: when one of the key's streams has ended in this worker,
and periodically, because streams also end in other workers.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.errors import SluiceError

_ASK_SECONDS = 0.2


class QueuePlace:
    """One request's place in its key's queue."""

    __slots__ = ("_line", "_woken", "error")

    def __init__(self, line: deque[QueuePlace]) -> None:
        self._line = line
        self._woken = asyncio.Event()
        self.error: SluiceError | None = None

    @property
    def first(self) -> bool:
        """Whether this request is the first of its queue."""
        return self._line[0] is self

    def wake(self) -> None:
        """Wake the request to check again."""
        self._woken.set()

    async def wait_turn(self, until: float) -> bool:
        """Wait until this request may ask the store; False if `until` (loop time) comes first.

        Raises the error that `reject_all` was given.
        """
        loop = asyncio.get_running_loop()
        while True:
            left = until - loop.time()
            # Jitter: the first request of each worker's queue asks.
            pause = _ASK_SECONDS * random.uniform(0.5, 1.0) if self.first else left  # noqa: S311 no secret
            asks = await self._was_woken(min(pause, left)) or pause <= left
            if self.error is not None:
                raise self.error
            if loop.time() >= until:
                return False
            if asks and self.first:
                return True

    async def _was_woken(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class StreamLimitQueues:
    """All queues of one worker."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lines: dict[str, deque[QueuePlace]] = {}

    @property
    def waiting(self) -> int:
        """The number of requests in all queues."""
        return sum(map(len, self._lines.values()))

    @property
    def full(self) -> bool:
        """Whether the queues have reached their total size."""
        return self.waiting >= self._size

    def has_waiters(self, key: str) -> bool:
        """Whether requests of this key are queued."""
        return key in self._lines

    @contextmanager
    def place(self, key: str) -> Iterator[QueuePlace]:
        """Queue a request for as long as the block runs."""
        line = self._lines.setdefault(key, deque())
        own = QueuePlace(line)
        line.append(own)
        try:
            yield own
        finally:
            line.remove(own)
            if line:
                line[0].wake()
            else:
                del self._lines[key]

    def stream_ended(self, key: str) -> None:
        """Wake the key's first request: one of its streams has ended."""
        if line := self._lines.get(key):
            line[0].wake()

    def reject_all(self, error: SluiceError) -> int:
        """Fail every queued request with this error. Return their number."""
        everybody = [place for line in self._lines.values() for place in line]
        for place in everybody:
            place.error = error
            place.wake()
        return len(everybody)
