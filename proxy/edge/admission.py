"""Admission control: how many requests are relayed at once, and how long others are queued.

The queue is fair between keys (`proxy.edge.fair_queue`). A request that cannot be served in time,
by the measured rate, is refused at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

from proxy.edge.fair_queue import FairQueue
from proxy.errors import Overloaded, SluiceError

_MEASURED_HOLDS = 64
_LONGEST_RETRY_AFTER = 300.0
_SPREAD = 4.0
"""The retries of refused requests are spread over at least so many seconds."""


Waiter: TypeAlias = "asyncio.Future[None]"
"""The future that a queued request awaits."""


def share(total: int, workers: int, index: int) -> int:
    """Return one worker's share of `total`; the shares add up to it."""
    return total // workers + (index < total % workers)


class Admission:
    """The slots of one worker and the queue for them."""

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
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(queue_size)
        self._holds: deque[float] = deque(maxlen=_MEASURED_HOLDS)
        """How long the latest slots were held, in seconds."""
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def taken(self) -> int:
        """The number of slots in use."""
        return self.slots - self._free

    @property
    def waiting(self) -> int:
        """The number of queued requests."""
        return self._queue.waiting

    async def idle(self) -> None:
        """Wait until no slot is in use, and therefore no request is queued."""
        await self._idle.wait()

    def slot(self, key: str = "", priority: int = 0) -> Slot:
        """Return a slot for a request with this key; entering it waits."""
        return Slot(self, key, priority)

    async def take(
        self, key: str, priority: int = 0, on_wait: Callable[[Waiter], None] | None = None
    ) -> float:
        """Take a slot, queueing for it if necessary, and return the clock's time then.

        `on_wait` is called with the waiter if the request is queued.
        Raises `Overloaded` if the queue is full, or the wait is or would be too long.
        """
        if self._free and not self._queue.waiting:
            self._free -= 1
            self._queue.slot_taken(key)
            self._idle.clear()
        else:
            await self._wait(key, priority, on_wait)
        return self._clock()

    def position_of(self, key: str, waiter: Waiter) -> int:
        """Return the waiter's position in the queue, from 1; 0 if it is not queued."""
        return self._queue.position_of(key, waiter)

    def give_back(self, key: str, since: float) -> None:
        """Release a slot that the key has held since `since`."""
        self._holds.append(self._clock() - since)
        self._release(key)

    def now(self) -> float:
        """Return the time of the clock that measures waits and holds, in seconds."""
        return self._clock()

    def expected_wait(self, key: str, priority: int = 0) -> float:
        """Estimate the seconds until a new request of this key gets a slot; 0.0 without data.

        All slots together serve one request every `hold / slots` seconds. The rate of releases
        would say the same under load, but would be meaningless after a quiet hour.
        """
        if not self._holds:
            return 0.0
        return (
            self._queue.position(key, priority) * sum(self._holds) / len(self._holds) / self.slots
        )

    async def _wait(
        self, key: str, priority: int, on_wait: Callable[[Waiter], None] | None
    ) -> None:
        expected = self.expected_wait(key, priority)
        if expected > self._queue_timeout:
            raise self._refusal("The wait for a slot would be too long.", expected)
        if self._queue.full and not self._make_room(key, priority):
            raise self._refusal("All slots are taken and the waiting line is full.", expected)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._queue.join(key, waiter, priority)
        if on_wait is not None:
            on_wait(waiter)
        try:
            async with asyncio.timeout(self._queue_timeout):
                await waiter
        except BaseException as error:
            self._leave(key, waiter)
            if isinstance(error, TimeoutError):
                text = f"No slot became free within {self._queue_timeout:g} s."
                raise self._refusal(text, self.expected_wait(key, priority)) from None
            raise

    def _make_room(self, newcomer: str, priority: int) -> bool:
        """Refuse the last request of the key with the most queued ones, if that is another key."""
        removed = self._queue.make_room(newcomer, priority)
        if removed is None:
            return False
        key, waiter = removed
        if waiter.done():
            # It was cancelled, and its task has not removed it from the queue yet.
            return True
        text = "The waiting line is full, and this key has the most requests in it."
        waiter.set_exception(self._refusal(text, self.expected_wait(key)))
        return True

    def reject_all(self, error: SluiceError) -> int:
        """Fail every queued request with this error. Return their number."""
        waiters = [waiter for waiter in self._queue.remove_all() if not waiter.done()]
        for waiter in waiters:
            waiter.set_exception(error)
        return len(waiters)

    def _leave(self, key: str, waiter: Waiter) -> None:
        if self._queue.leave(key, waiter):
            return
        if not waiter.cancelled() and waiter.exception() is None:
            # The slot was granted just before the wait ended: pass it on.
            self._release(key)

    def _release(self, key: str) -> None:
        self._queue.slot_released(key)
        while (next_waiter := self._queue.next()) is not None:
            served, waiter = next_waiter
            if not waiter.done():
                waiter.set_result(None)
                return
            # This waiter was cancelled, too.
            self._queue.slot_released(served)
        self._free += 1
        if self._free == self.slots:
            self._idle.set()

    def _refusal(self, text: str, wait: float) -> Overloaded:
        """Build the refusal, with its `Retry-After`.

        Thousands of clients refused together must not retry together: the delay is random between
        the expected wait and twice that, or 4 seconds more.
        """
        after = min(max(wait, 1.0), _LONGEST_RETRY_AFTER)
        return Overloaded(text, retry_after=after + random.uniform(0, max(after, _SPREAD)))  # noqa: S311 no secret


class Slot:
    """One request's slot: an async context manager that releases it on every exit."""

    __slots__ = ("_admission", "_key", "_priority", "_since", "_waiter", "waited")

    def __init__(self, admission: Admission, key: str, priority: int) -> None:
        self._admission = admission
        self._key = key
        self._priority = priority
        self._since = 0.0
        self._waiter: Waiter | None = None
        self.waited = 0.0
        """Seconds in the queue, whether or not a slot was granted."""

    def position(self) -> int:
        """Return its position in the queue, from 1; 0 if it is not queued."""
        return 0 if self._waiter is None else self._admission.position_of(self._key, self._waiter)

    def _waits(self, waiter: Waiter) -> None:
        self._waiter = waiter

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
