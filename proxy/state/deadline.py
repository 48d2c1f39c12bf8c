"""A timeout that a stalled event loop or a long queue does not use up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_SLICES = 10
_MAX_EXTENSIONS = 3


def _none_came() -> int:
    return 0


@asynccontextmanager
async def deadline(seconds: float, answers: Callable[[], int] = _none_came) -> AsyncIterator[None]:
    """Raise `TimeoutError` after `seconds` in which the event loop was able to poll its sockets.

    uvloop runs timers before it reads sockets. When a burst blocks the loop for longer than the
    deadline, a plain timeout would cancel a call whose answer has already arrived. The deadline is
    therefore counted in ten slices, and one stall uses up only one of them.

    `answers` counts the answers that any caller has received. While it grows, the deadline is
    extended for callers further back in the queue: at most three times, by `seconds` each.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        left, extensions = _SLICES, _MAX_EXTENSIONS
        seen = answers()
        timer: asyncio.TimerHandle

        def tick() -> None:
            nonlocal left, extensions, seen, timer
            left -= 1
            if not left and extensions and answers() != seen:
                left, extensions, seen = _SLICES, extensions - 1, answers()
            if left:
                timer = loop.call_later(seconds / _SLICES, tick)
            else:
                scope.reschedule(loop.time())

        timer = loop.call_later(seconds / _SLICES, tick)
        try:
            yield
        finally:
            timer.cancel()
