"""The cap: how many requests are relayed at once, and who waits for how long.

The waiting line is fair between keys: each key has its own queue, and slots go round the keys.
What cannot be served in time, by the measured rate, is refused at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.errors import Overloaded

_MEASURED_RELEASES = 64
_LONGEST_RETRY_AFTER = 300.0


def share(total: int, workers: int, index: int) -> int:
    """One worker's part of a number, so that the parts add up to it."""
    return total // workers + (index < total % workers)


class Admission:
    """The slots of one worker and the line before them."""

    def __init__(
        self,
        slots: int,
        queue_size: int,
        queue_timeout: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._free = slots
        self.slots = slots
        self._queue_size = queue_size
        self._queue_timeout = queue_timeout
        self._clock = clock
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        """Who waits, by key; the first key is the next to be served."""
        self._releases: deque[float] = deque(maxlen=_MEASURED_RELEASES)
        self.waiting = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def taken(self) -> int:
        """Slots in use."""
        return self.slots - self._free

    async def idle(self) -> None:
        """Wait until nobody has a slot, and so nobody waits for one."""
        await self._idle.wait()

    @asynccontextmanager
    async def slot(self, key: str = "") -> AsyncIterator[None]:
        """Hold a slot, having waited for it if need be; it is free again on every exit.

        Raises `Overloaded` when the line is full, or the wait is or would be too long.
        """
        if self._free and not self.waiting:
            self._free -= 1
            self._idle.clear()
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._release()

    def expected_wait(self, key: str) -> float:
        """Seconds until a newcomer with this key would be served; 0.0 while nothing is measured."""
        if len(self._releases) < 2:
            return 0.0
        elapsed = self._clock() - self._releases[0]
        rate = (len(self._releases) - 1) / elapsed if elapsed > 0 else float("inf")
        own = len(self._lines.get(key, ())) + 1
        before = sum(min(len(line), own) for k, line in self._lines.items() if k != key)
        return (own + before) / rate

    async def _wait(self, key: str) -> None:
        expected = self.expected_wait(key)
        if self.waiting >= self._queue_size:
            raise self._refusal("All slots are taken and the waiting line is full.", expected)
        if expected > self._queue_timeout:
            raise self._refusal("The wait for a slot would be too long.", expected)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(key, deque()).append(turn)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._queue_timeout):
                await turn
        except BaseException as error:
            self._leave(key, turn)
            if isinstance(error, TimeoutError):
                text = f"No slot became free within {self._queue_timeout:g} s."
                raise self._refusal(text, self.expected_wait(key)) from None
            raise

    def _leave(self, key: str, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            # The slot came in the same moment as the reason to leave: hand it on.
            self._release()
            return
        line = self._lines[key]
        line.remove(turn)
        self.waiting -= 1
        if not line:
            del self._lines[key]

    def _release(self) -> None:
        self._releases.append(self._clock())
        while self._lines:
            key = next(iter(self._lines))
            line = self._lines.pop(key)
            turn = line.popleft()
            self.waiting -= 1
            if line:
                self._lines[key] = line
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
        if self._free == self.slots:
            self._idle.set()

    def _refusal(self, text: str, wait: float) -> Overloaded:
        return Overloaded(text, retry_after=min(max(wait, 1.0), _LONGEST_RETRY_AFTER))
