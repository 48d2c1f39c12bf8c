"""The cap: how many requests are relayed at once, and who waits for how long.

The waiting line is fair between keys (`proxy.edge.line`). What cannot be served in time, by the
measured rate, is refused at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

from proxy.edge.line import Line
from proxy.errors import Overloaded, SluiceError

_MEASURED_HOLDS = 64
_LONGEST_RETRY_AFTER = 300.0
_SPREAD = 4.0
"""Seconds over which those that are refused come back, at least."""


Turn: TypeAlias = "asyncio.Future[None]"
"""What somebody in the line waits with."""


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
        self._queue_timeout = queue_timeout
        self._clock = clock
        self._line: Line[asyncio.Future[None]] = Line(queue_size)
        self._holds: deque[float] = deque(maxlen=_MEASURED_HOLDS)
        """For how long the latest slots were held, in seconds."""
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def taken(self) -> int:
        """Slots in use."""
        return self.slots - self._free

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return self._line.waiting

    async def idle(self) -> None:
        """Wait until nobody has a slot, and so nobody waits for one."""
        await self._idle.wait()

    def slot(self, key: str = "", priority: int = 0) -> Slot:
        """A slot for a request with this key, to be entered."""
        return Slot(self, key, priority)

    async def take(
        self, key: str, priority: int = 0, on_wait: Callable[[Turn], None] | None = None
    ) -> float:
        """Wait for a slot if need be; the moment it was had, by the clock.

        `on_wait` is told of the turn, if there is a wait.
        Raises `Overloaded` when the line is full, or the wait is or would be too long.
        """
        if self._free and not self._line.waiting:
            self._free -= 1
            self._line.took(key)
            self._idle.clear()
        else:
            await self._wait(key, priority, on_wait)
        return self._clock()

    def place_of(self, key: str, turn: Turn) -> int:
        """Which turn it has in the line; 0 if it does not wait there."""
        return self._line.place_of(key, turn)

    def give_back(self, key: str, since: float) -> None:
        """A slot that this key had since that moment is free again."""
        self._holds.append(self._clock() - since)
        self._release(key)

    def now(self) -> float:
        """Seconds of the clock that waits and holds are measured by."""
        return self._clock()

    def expected_wait(self, key: str, priority: int = 0) -> float:
        """Seconds until a newcomer with this key would be served; 0.0 while nothing is measured.

        All slots together serve one request each `hold / slots` seconds. The rate of releases
        would say the same under load, and after a quiet hour something absurd.
        """
        if not self._holds:
            return 0.0
        return self._line.place(key, priority) * sum(self._holds) / len(self._holds) / self.slots

    async def _wait(self, key: str, priority: int, on_wait: Callable[[Turn], None] | None) -> None:
        expected = self.expected_wait(key, priority)
        if expected > self._queue_timeout:
            raise self._refusal("The wait for a slot would be too long.", expected)
        if self._line.full and not self._make_room(key, priority):
            raise self._refusal("All slots are taken and the waiting line is full.", expected)
        turn: Turn = asyncio.get_running_loop().create_future()
        self._line.join(key, turn, priority)
        if on_wait is not None:
            on_wait(turn)
        try:
            async with asyncio.timeout(self._queue_timeout):
                await turn
        except BaseException as error:
            self._leave(key, turn)
            if isinstance(error, TimeoutError):
                text = f"No slot became free within {self._queue_timeout:g} s."
                raise self._refusal(text, self.expected_wait(key, priority)) from None
            raise

    def _make_room(self, newcomer: str, priority: int) -> bool:
        """Send the last of the key that waits most away, if this key is to have its place."""
        found = self._line.make_room(newcomer, priority)
        if found is None:
            return False
        key, turn = found
        if turn.done():
            # It was cancelled, and its task has not come to leave the line yet.
            return True
        text = "The waiting line is full, and this key has the most requests in it."
        turn.set_exception(self._refusal(text, self.expected_wait(key)))
        return True

    def turn_away(self, error: SluiceError) -> int:
        """End every wait with this error; gives their number."""
        turns = [turn for turn in self._line.everybody() if not turn.done()]
        for turn in turns:
            turn.set_exception(error)
        return len(turns)

    def _leave(self, key: str, turn: Turn) -> None:
        if self._line.leave(key, turn):
            return
        if not turn.cancelled() and turn.exception() is None:
            # The slot came in the same moment as the reason to leave: hand it on.
            self._release(key)

    def _release(self, key: str) -> None:
        self._line.gave_back(key)
        while (found := self._line.next()) is not None:
            served, turn = found
            if not turn.done():
                turn.set_result(None)
                return
            # This one was cancelled, too.
            self._line.gave_back(served)
        self._free += 1
        if self._free == self.slots:
            self._idle.set()

    def _refusal(self, text: str, wait: float) -> Overloaded:
        """A refusal that says when to come back.

        Thousands that are refused at once must not come back at once. Nobody is told a time
        before it is of use, and nobody one that is more than twice as long, or 4 seconds longer.
        """
        after = min(max(wait, 1.0), _LONGEST_RETRY_AFTER)
        return Overloaded(text, retry_after=after + random.uniform(0, max(after, _SPREAD)))  # noqa: S311 no secret


class Slot:
    """A place among those that are relayed: a context, left once, on every exit."""

    __slots__ = ("_admission", "_key", "_priority", "_since", "_turn", "waited")

    def __init__(self, admission: Admission, key: str, priority: int) -> None:
        self._admission = admission
        self._key = key
        self._priority = priority
        self._since = 0.0
        self._turn: Turn | None = None
        self.waited = 0.0
        """Seconds in the line, whether or not there was a slot at its end."""

    def place(self) -> int:
        """Which turn it has in the line; 0 if it does not wait there."""
        return 0 if self._turn is None else self._admission.place_of(self._key, self._turn)

    def _waits(self, turn: Turn) -> None:
        self._turn = turn

    async def __aenter__(self) -> Self:
        arrived = self._admission.now()
        try:
            self._since = await self._admission.take(self._key, self._priority, self._waits)
        finally:
            self.waited = self._admission.now() - arrived
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._admission.give_back(self._key, self._since)
