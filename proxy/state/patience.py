"""A deadline that neither a busy event loop nor a long queue uses up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_SLICES = 10
_MOST_EXTENSIONS = 3


def _none_came() -> int:
    return 0


@asynccontextmanager
async def deadline(seconds: float, answers: Callable[[], int] = _none_came) -> AsyncIterator[None]:
    """Raise `TimeoutError` after so long, during which the loop could look at its sockets.

    uvloop runs timers before it reads: after a burst held the loop for longer than the deadline,
    a plain timeout would end a call whose answer has long been there. In slices, one stall uses
    up one of them.

    `answers` counts what has come for anybody. As long as it grows, whoever is behind others in
    the queue is not given up: three times at most, each for as long again.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        left, extensions = _SLICES, _MOST_EXTENSIONS
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
