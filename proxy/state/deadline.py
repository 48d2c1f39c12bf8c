"""A timeout that a stalled event loop or a long queue does not use up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_SLICES = 10
_MAX_EXTENSIONS = 3


def _none_came() -> int:
    return 0


class deadline:  # noqa: N801 used like the functions of `asyncio` and `contextlib`
    """Raise `TimeoutError` after `seconds` in which the event loop was able to poll its sockets.

    uvloop runs timers before it reads sockets. When a burst blocks the loop for longer than the
    deadline, a plain timeout would cancel a call whose answer has already arrived. The deadline is
    therefore counted in ten slices, and one stall uses up only one of them.

    `answers` counts the answers that any caller has received. While it grows, the deadline is
    extended for callers further back in the queue: at most three times, by `seconds` each.

    A class because each call to the store enters two of these: a generator costs twice as much.
    """

    __slots__ = ("_answers", "_extensions", "_left", "_loop", "_scope", "_seen", "_slice", "_timer")

    def __init__(self, seconds: float, answers: Callable[[], int] = _none_came) -> None:
        self._answers = answers
        self._slice = seconds / _SLICES
        self._left, self._extensions = _SLICES, _MAX_EXTENSIONS
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        self._seen = self._answers()
        await self._scope.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._slice, self._tick)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, traceback)

    def _tick(self) -> None:
        self._left -= 1
        if not self._left and self._extensions and self._answers() != self._seen:
            self._seen, self._left = self._answers(), _SLICES
            self._extensions -= 1
        if self._left:
            self._timer = self._loop.call_later(self._slice, self._tick)
        else:
            self._scope.reschedule(self._loop.time())
