"""A deadline that a busy event loop does not use up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SLICES = 4


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Raise `TimeoutError` after so long, during which the loop could look at its sockets.

    uvloop runs timers before it reads: after a burst held the loop for longer than the deadline,
    a plain timeout would end a call whose answer has long been there. In slices, one stall uses
    up one of them.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        left = _SLICES
        timer: asyncio.TimerHandle

        def tick() -> None:
            nonlocal left, timer
            left -= 1
            if left:
                timer = loop.call_later(seconds / _SLICES, tick)
            else:
                scope.reschedule(loop.time())

        timer = loop.call_later(seconds / _SLICES, tick)
        try:
            yield
        finally:
            timer.cancel()
