"""How many bytes of request bodies a worker holds at once; who finds no room waits for it.

A body with a length is given all of its room before any of it is read, so that what has begun can
also end; one without takes more as it grows, before those who have not begun. Large bodies leave a
quarter to small ones: a few uploads that never end must not keep everybody's questions out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from proxy.edge.trimming import Trimmer
from proxy.errors import BodyTooLarge, Overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SMALL_BYTES = 1024 * 1024
"""Bodies up to this size may use the last quarter."""


class _Waiting(NamedTuple):
    hold: Hold
    size: int
    turn: asyncio.Future[None]


class BodyMemory:
    """The budget of one worker."""

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
        """Requests that wait for room."""
        return len(self._line)

    def hold(self) -> Hold:
        """What one request holds: nothing yet."""
        return Hold(self)

    async def take(self, hold: Hold, size: int) -> None:
        """Give a request so many bytes more, as soon as there is room.

        Raises `BodyTooLarge` if there never can be, `Overloaded` if there is none in time.
        """
        if hold.size + size > self.budget:
            raise BodyTooLarge(
                f"The body is larger than the {self.budget} bytes that may be held of bodies "
                "(SLUICE_BODY_MEMORY_BYTES)."
            )
        if self._fits(hold, size) and (hold.size or not self._line):
            self._give(hold, size)
            return
        if len(self._line) >= self._most_waiting:
            raise self._refusal()
        await self._wait(hold, size)

    def has_room(self, hold: Hold, size: int) -> bool:
        """Give a request so many bytes more if nobody need wait for them; whether it has them."""
        fits = self._fits(hold, size) and not self._line
        if fits:
            self._give(hold, size)
        return fits

    @asynccontextmanager
    async def growing(self) -> AsyncIterator[None]:
        """Grow step by step to a size that nobody knows, which one body may at a time.

        Several would each hold a part of the room, and wait for the rest of it for ever.

        Raises `Overloaded` if its turn does not come in time.
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
        """Count a copy of what somebody holds, which waits for no room: whoever comes then does.

        Two that hold theirs and wait for room for copies would wait for each other.
        """
        self.used += size
        try:
            yield
        finally:
            self.give_back(size)

    def give_back(self, size: int) -> None:
        """So many bytes are free again; who fits now goes on, in the order of the line."""
        self.used -= size
        self._trimmer.freed(size)
        for one in list(self._line):
            if not one.turn.done() and self._fits(one.hold, one.size):
                self._line.remove(one)
                self._give(one.hold, one.size)
                one.turn.set_result(None)

    async def _wait(self, hold: Hold, size: int) -> None:
        one = _Waiting(hold, size, asyncio.get_running_loop().create_future())
        # Who has begun goes first: what it holds is free only once it has ended.
        if hold.size:
            self._line.appendleft(one)
        else:
            self._line.append(one)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await one.turn
        except TimeoutError:
            raise self._refusal() from None
        finally:
            if one in self._line:
                self._line.remove(one)

    def _fits(self, hold: Hold, size: int) -> bool:
        small = hold.size + size <= SMALL_BYTES
        most = self.budget if small else self.budget * 3 // 4
        # Alone, a body may have everything.
        return self.used + size <= most or (self.used == hold.size and size <= self.budget)

    def _give(self, hold: Hold, size: int) -> None:
        self.used += size
        hold.size += size

    def _refusal(self) -> Overloaded:
        return Overloaded("There is no memory for the request's body.", retry_after=5.0)


class Hold:
    """What one request holds of the budget; given back once, however it ends."""

    __slots__ = ("_memory", "size")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self.size = 0

    async def take(self, size: int) -> None:
        """Hold so many bytes more; see `BodyMemory.take`."""
        await self._memory.take(self, size)

    def has_room(self, size: int) -> bool:
        """Whether there is room for so many bytes at once; then they are held.

        For whoever can do without.
        """
        return self._memory.has_room(self, size)

    def release(self, size: int | None = None) -> None:
        """Hold so many bytes less, or nothing more."""
        given = self.size if size is None else min(size, self.size)
        self.size -= given
        if given:
            self._memory.give_back(given)
