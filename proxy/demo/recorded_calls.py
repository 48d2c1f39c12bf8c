"""Records the calls of the demo upstream, for tests in the same process and for `/demo/state`."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

_REMEMBERED_CALLS = 2_000
_REMEMBERED_RUNS = 10_000


@dataclass(slots=True, eq=False)
class RecordedCall:
    """One request and its outcome.

    `ended_by` is empty while it runs, then `finished` (everything was sent), `left` (the peer
    disconnected), or `fault` (a fault ended it). Times are Unix seconds; `events` and `bytes_sent`
    are what has been written to the connection so far.
    """

    state: DemoState = field(repr=False)
    number: int
    method: str
    path: str
    run: str = ""
    family: str = ""
    model: str = ""
    attempt: int = 0
    status: int = 0
    body_bytes: int = 0
    events: int = 0
    bytes_sent: int = 0
    started_at: float = field(default_factory=time.time)
    ended_at: float | None = None
    ended_by: str = ""
    task: asyncio.Task[Any] | None = field(default=None, repr=False)

    def sent(self, size: int, events: int) -> None:
        """Count what has just been written."""
        self.bytes_sent += size
        self.events += events
        if self.state.watched:
            self.state.changed()

    def as_dict(self) -> dict[str, Any]:
        """Return what `/demo/state` shows."""
        return {name: getattr(self, name) for name in _SHOWN}


_SHOWN = tuple(name for name in RecordedCall.__slots__ if name not in ("state", "task"))


class DemoState:
    """Counters and the latest calls of one demo upstream.

    `seen` counts the requests; each is in `open` until it is counted in `finished`, `left` or
    `faults`.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[DemoState], bool], asyncio.Future[None]]] = []
        self.open: set[RecordedCall] = set()
        self.reset()

    def reset(self) -> None:
        """Forget everything but the calls that are still open."""
        self.seen = 0
        self.finished = 0
        self.left = 0
        self.faults = 0
        self.calls: deque[RecordedCall] = deque(self.open, maxlen=_REMEMBERED_CALLS)
        self._attempts: OrderedDict[str, int] = OrderedDict()

    def begin(self, method: str, path: str, run: str) -> RecordedCall:
        """Record a new request."""
        self.seen += 1
        call = RecordedCall(self, self.seen, method, path, run, task=asyncio.current_task())
        self.open.add(call)
        self.calls.append(call)
        self.changed()
        return call

    def end(self, call: RecordedCall) -> None:
        """Record the end of a request."""
        call.ended_at = time.time()
        call.task = None
        self.open.discard(call)
        if call.ended_by == "finished":
            self.finished += 1
        elif call.ended_by == "left":
            self.left += 1
        else:
            self.faults += 1
        self.changed()

    def attempt(self, run: str) -> int:
        """Count a request of a run. Return its number, from 1 on."""
        number = self._attempts.pop(run, 0) + 1
        self._attempts[run] = number
        if len(self._attempts) > _REMEMBERED_RUNS:
            self._attempts.popitem(last=False)
        return number

    @property
    def watched(self) -> bool:
        """Whether anybody waits in `until`."""
        return bool(self._waiting)

    def changed(self) -> None:
        """Wake the waiters whose condition is now true."""
        for wanted, waiter in self._waiting:
            if not waiter.done() and wanted(self):
                waiter.set_result(None)

    async def until(self, wanted: Callable[[DemoState], bool], seconds: float = 5.0) -> None:
        """Wait until a condition is true; it is checked when a call begins, writes or ends.

        Raises TimeoutError if it is not true in time.
        """
        if wanted(self):
            return
        waiter = asyncio.get_running_loop().create_future()
        entry = (wanted, waiter)
        self._waiting.append(entry)
        try:
            await asyncio.wait_for(waiter, seconds)
        finally:
            self._waiting.remove(entry)

    def as_dict(self, run: str | None = None) -> dict[str, Any]:
        """Return what `/demo/state` shows, for one run or for all."""
        return {
            "seen": self.seen,
            "open": len(self.open),
            "finished": self.finished,
            "left": self.left,
            "faults": self.faults,
            "calls": [call.as_dict() for call in self.calls if run is None or call.run == run],
        }


DEMO_STATE = web.AppKey("demo_state", DemoState)
