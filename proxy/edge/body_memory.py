"""A budget of bytes for the request bodies that a worker holds at once; requests wait for it.

A body with a Content-Length reserves all of its bytes before any is read, so that it cannot get
stuck halfway. A body without one reserves more as it grows, ahead of requests that have not begun.
Large bodies leave a quarter of the budget to small ones: a few endless uploads must not block
everyone else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from proxy.edge.malloc_trim import Trimmer
from proxy.errors import BodyTooLarge, Overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SMALL_BYTES = 1024 * 1024
"""Bodies up to this size may use the last quarter of the budget."""


class _Waiting(NamedTuple):
    hold: Hold
    size: int
    turn: asyncio.Future[None]


class BodyMemory:
    """The body memory of one worker."""

    def __init__(self, budget: int, *, wait_seconds: float, most_waiting: int) -> None:
        self.budget = budget
        self.used = 0
        self._wait_seconds = wait_seconds
        self._most_waiting = most_waiting
        self._line: deque[_Waiting] = deque()
        self._turn_to_grow = asyncio.Lock()
        self._trimmer = Trimmer()

    @property
    def waiting(self) -> int:
        """The number of requests that wait for memory."""
        return len(self._line)

    def hold(self) -> Hold:
        """Return the hold of one request, empty at first."""
        return Hold(self)

    async def take(self, hold: Hold, size: int) -> None:
        """Reserve `size` more bytes for a request, waiting if necessary.

        Raises `BodyTooLarge` if the budget is too small, and `Overloaded` on a timeout.
        """
        if hold.size + size > self.budget:
            raise BodyTooLarge(
                f"The body is larger than the {self.budget} bytes reserved for request bodies "
                "(SLUICE_BODY_MEMORY_BYTES)."
            )
        if self._fits(hold, size) and (hold.size or not self._line):
            self._give(hold, size)
            return
        if len(self._line) >= self._most_waiting:
            raise self._refusal()
        await self._wait(hold, size)

    def has_room(self, hold: Hold, size: int) -> bool:
        """Reserve `size` more bytes if that needs no wait. Return whether it was done."""
        fits = self._fits(hold, size) and not self._line
        if fits:
            self._give(hold, size)
        return fits

    @asynccontextmanager
    async def growing(self) -> AsyncIterator[None]:
        """Allow one body at a time to grow step by step to an unknown size.

        Several at once could each hold a part of the budget and deadlock waiting for the rest.

        Raises `Overloaded` on a timeout.
        """
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._turn_to_grow.acquire()
        except TimeoutError:
            raise self._refusal() from None
        try:
            yield
        finally:
            self._turn_to_grow.release()

    @contextmanager
    def copied(self, size: int) -> Iterator[None]:
        """Count a copy of a held body without waiting; later requests wait instead.

        Two requests that hold a body and wait to copy it would deadlock.
        """
        self.used += size
        try:
            yield
        finally:
            self.give_back(size)

    def give_back(self, size: int) -> None:
        """Release `size` bytes, and grant the waiting requests that fit now, in order."""
        self.used -= size
        self._trimmer.freed(size)
        for waiting in list(self._line):
            if not waiting.turn.done() and self._fits(waiting.hold, waiting.size):
                self._line.remove(waiting)
                self._give(waiting.hold, waiting.size)
                waiting.turn.set_result(None)

    async def _wait(self, hold: Hold, size: int) -> None:
        waiting = _Waiting(hold, size, asyncio.get_running_loop().create_future())
        # A request that already holds memory goes first: it must end to release it.
        if hold.size:
            self._line.appendleft(waiting)
        else:
            self._line.append(waiting)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await waiting.turn
        except TimeoutError:
            raise self._refusal() from None
        finally:
            if waiting in self._line:
                self._line.remove(waiting)

    def _fits(self, hold: Hold, size: int) -> bool:
        small = hold.size + size <= SMALL_BYTES
        limit = self.budget if small else self.budget * 3 // 4
        # A single body may use the whole budget.
        return self.used + size <= limit or (self.used == hold.size and size <= self.budget)

    def _give(self, hold: Hold, size: int) -> None:
        self.used += size
        hold.size += size

    def _refusal(self) -> Overloaded:
        return Overloaded("There is no memory for the request's body.", retry_after=5.0)


class Hold:
    """The bytes that one request holds of the budget."""

    __slots__ = ("_memory", "size")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.size = 0

    async def take(self, size: int) -> None:
        """Reserve `size` more bytes; see `BodyMemory.take`."""
        await self._memory.take(self, size)

    def has_room(self, size: int) -> bool:
        """Reserve `size` more bytes if that needs no wait. Return whether it was done.

        For optional buffers.
        """
        return self._memory.has_room(self, size)

    def release(self, size: int | None = None) -> None:
        """Release `size` bytes, or all of them."""
        given = self.size if size is None else min(size, self.size)
        self.size -= given
        if given:
            self._memory.give_back(given)
