"""Where requests wait whose key is at its `max_streams`: a line for each key, and no slot held.

The store is asked by the first of a line only, when one of the key's streams has ended here, and
now and then, for they may end elsewhere.
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


class Place:
    """One request's place in its key's line."""

    __slots__ = ("_line", "_woken", "error")

    def __init__(self, line: deque[Place]) -> None:
        self._line = line
        self._woken = asyncio.Event()
        self.error: SluiceError | None = None

    @property
    def first(self) -> bool:
        """Whether it is this one's turn."""
        return self._line[0] is self

    def wake(self) -> None:
        """Have it look again."""
        self._woken.set()

    async def turn(self, until: float) -> bool:
        """Wait until it may ask; False where that moment of the loop's clock comes first.

        Raises the error with which everybody was sent away.
        """
        loop = asyncio.get_running_loop()
        while True:
            left = until - loop.time()
            # Not all at once: the first of each worker's line asks.
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


class KeyLines:
    """All lines of one worker."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lines: dict[str, deque[Place]] = {}

    @property
    def waiting(self) -> int:
        """Requests in all lines."""
        return sum(map(len, self._lines.values()))

    @property
    def full(self) -> bool:
        """Whether a newcomer finds no place."""
        return self.waiting >= self._size

    def anybody(self, key: str) -> bool:
        """Whether somebody of this key waits."""
        return key in self._lines

    @contextmanager
    def place(self, key: str) -> Iterator[Place]:
        """The last place in the key's line, for as long as the block runs."""
        line = self._lines.setdefault(key, deque())
        own = Place(line)
        line.append(own)
        try:
            yield own
        finally:
            line.remove(own)
            if line:
                line[0].wake()
            else:
                del self._lines[key]

    def one_ended(self, key: str) -> None:
        """One of the key's streams has ended."""
        if line := self._lines.get(key):
            line[0].wake()

    def turn_away(self, error: SluiceError) -> int:
        """End every wait with this error; gives their number."""
        everybody = [place for line in self._lines.values() for place in line]
        for place in everybody:
            place.error = error
            place.wake()
        return len(everybody)
