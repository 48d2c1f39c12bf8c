"""Counts the requests that no worker has counted: those it died with, and nginx's own answers.

Three sources tell of a request without an answer, and its id joins them: nginx's line, what the
worker has counted (`meter.counted_requests`), and what it has in flight
(`meter.requests_in_flight`).

Where nginx's line says that a worker had been reached, nobody can tell yet whether that reads the
request, and counts it, or not: it may be busy, or frozen. So such a line waits until the worker has
passed that place in its queue, as a later request through the same socket shows. Then it is known:

- counted by the worker, or in flight there: the worker counts it, or its burial does;
- in flight in a worker that has died: counted here, with the status that nginx's line has;
- neither: the worker has never read it, and never will. It is counted here.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import OrderedDict
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.record import EndedBy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.meter.requests_in_flight import InFlightRecord
    from proxy.record import RequestRecord

WAIT_SECONDS = 3.0
"""What a worker died with waits so long for nginx's line, which is held back for up to a second."""
LOOK_SECONDS = 1.0
"""Between two looks at the lines that wait for a worker."""
LONGEST_WAIT_SECONDS = 60.0
"""A frozen worker is killed after 10 s. Who has not passed by then is not waited for."""
MOST_WAITING = 100_000
"""Lines that wait for a worker, of some 300 bytes each; with one more the oldest are decided by
what is known then. A worker's backlog, from which they come, holds 16,384."""
_TOO_MANY = 1000
"""As many are decided together."""
_MOST_REMEMBERED = 10_000
_WORKER_DIED = frozenset({502, 504})
_PROBES = frozenset({"/healthz", "/readyz"})
_WORKER = re.compile(r"worker-(\d+)\.sock")


class _Line(NamedTuple):
    """What is kept of nginx's line about a request that a worker may have counted."""

    hashed: int
    route: str
    status: int
    worker: int | None
    seen_at: float


class _Buried(NamedTuple):
    """What a worker died with, and when it is counted if nothing else is known of it by then."""

    due: float
    hashed: int
    record: InFlightRecord


class UncountedRequests:
    """Written by the supervisor's threads, in a file of its own beside the workers'."""

    def __init__(
        self,
        directory: Path,
        passed: Callable[[int], bool] = lambda _worker: True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`passed` tells whether a worker has begun with all that had come before; it may block."""
        self._directory = directory
        self._passed = passed
        self._now = now
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._buried: list[_Buried] = []
        self._explained: OrderedDict[str, int] = OrderedDict()
        """How often nginx has gone on to another worker, by request."""
        self._counted: OrderedDict[int, None] = OrderedDict()
        """Requests that were counted here lately, and that nginx may yet have a line about."""
        self._waiting: list[_Line] = []
        self._timer: threading.Timer | None = None
        self._closed = False
        self._instruments: Any = None
        self._close: Callable[[], None] = lambda: None

    def buried(self, worker: int) -> None:
        """A worker has died: what it had in flight is counted soon, unless nginx explains it."""
        inflight = import_module("proxy.meter.requests_in_flight")
        path = inflight.path_of(str(self._directory), worker)
        records = inflight.left_behind(path)
        path.unlink(missing_ok=True)
        with self._lock:
            due = self._now() + WAIT_SECONDS
            self._buried += [_Buried(due, _hash_of(one.own_id), one) for one in records]
            if self._buried:
                self._settle_later()

    def saw(self, line: dict[str, Any]) -> None:
        """Take in one of nginx's access lines."""
        connects = _each(line.get("worker_connect", ""))
        reached = [connect not in {"", "-"} for connect in connects]
        own, status = bool(line.get("own")), line["status"]
        with self._lock:
            if before := sum(reached[:-1]):
                self._explain(_id_of(line), before)
            if not own or status < 400 or line["path"] in _PROBES:
                return
            route = import_module("proxy.edge.routes").route_of(line["path"]).label
            if reached and reached[-1]:
                self._wait(line, route)
            else:
                self._count(route, "", "", status, _outcome(status))

    def refused(self, record: RequestRecord) -> None:
        """Count a request that the supervisor has answered itself."""
        outcome = record.ended_by or EndedBy.SHED
        with self._lock:
            self._count(record.route, "", "", record.status or 503, outcome)
            self._counted[_hash_of(record.unique_id)] = None
            self._forget_oldest(self._counted)

    def settle(self, *, at_once: bool = False) -> None:
        """Count what has waited long enough. It blocks while workers are asked."""
        with self._settling:
            with self._lock:
                lines, self._waiting = self._waiting, []
                self._timer = None
            asked = {line.worker for line in lines if line.worker is not None and not at_once}
            behind = {worker for worker in asked if not self._passed(worker)}
            latest = self._now() - LONGEST_WAIT_SECONDS
            waits = [line.worker in behind and line.seen_at > latest for line in lines]
            with self._lock:
                self._waiting[:0] = itertools.compress(lines, waits)
                self._decide([line for line, on in zip(lines, waits, strict=True) if not on])
                self._count_buried(float("inf") if at_once else self._now())
                if self._waiting or self._buried:
                    self._settle_later()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        self._close()

    def _wait(self, line: dict[str, Any], route: str) -> None:
        worker = _WORKER.findall(line.get("worker", ""))
        number = int(worker[-1]) if worker else None
        hashed = _hash_of(_id_of(line))
        self._waiting.append(_Line(hashed, route, line["status"], number, self._now()))
        if len(self._waiting) > MOST_WAITING:
            self._decide(self._waiting[:_TOO_MANY])
            del self._waiting[:_TOO_MANY]
        self._settle_later()

    def _decide(self, lines: list[_Line]) -> None:
        """Count those of these lines that nobody else counts."""
        if not lines:
            return
        # In this order: a worker lets go of a request only once it is among the counted.
        running = self._running()
        ended = import_module("proxy.meter.counted_requests")
        counted = ended.counted_among(self._directory, {line.hashed for line in lines})
        elsewhere = running | self._counted.keys() | (counted or set())
        silent = {
            worker
            for worker in {line.worker for line in lines}
            if counted is None or not ended.is_kept(self._directory, worker)
        }
        here: set[int] = set()
        for line in lines:
            if line.hashed in elsewhere:
                continue
            if line.worker in silent and line.status not in _WORKER_DIED:
                # There was no room for what it has counted; it lives, and so has counted this.
                continue
            self._count(line.route, "", "", line.status, _outcome(line.status))
            here.add(line.hashed)
        self._buried = [one for one in self._buried if one.hashed not in here]

    def _running(self) -> set[int]:
        """What is in flight, also in a worker whose death is not known yet."""
        inflight = import_module("proxy.meter.requests_in_flight")
        return {
            _hash_of(record.own_id)
            for path in self._directory.glob("in-flight-*")
            for record in inflight.left_behind(path)
        }

    def _count_buried(self, now: float) -> None:
        """Count what workers died with, unless nginx has a line about it."""
        undecided = {line.hashed for line in self._waiting}
        due: list[_Buried] = []
        later: list[_Buried] = []
        for one in self._buried:
            (later if one.due > now or one.hashed in undecided else due).append(one)
        self._buried = later
        if not due:
            return
        ended = import_module("proxy.meter.counted_requests")
        counted = ended.counted_among(self._directory, {one.hashed for one in due}) or ()
        for _, hashed, record in due:
            if hashed in counted:
                # The worker was killed before it could let go of what it had just counted.
                continue
            if self._explained.get(record.own_id, 0) > 0:
                self._explained[record.own_id] -= 1
                continue
            status = record.status or 502
            self._count(record.route, record.key, record.upstream, status, EndedBy.FAILED)
            self._counted[hashed] = None
        self._forget_oldest(self._counted)

    def _explain(self, request_id: str, times: int) -> None:
        self._explained[request_id] = self._explained.pop(request_id, 0) + times
        self._forget_oldest(self._explained)

    @staticmethod
    def _forget_oldest(remembered: OrderedDict[Any, Any]) -> None:
        while len(remembered) > _MOST_REMEMBERED:
            remembered.popitem(last=False)

    def _settle_later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = threading.Timer(LOOK_SECONDS, self.settle)
            self._timer.daemon = True
            self._timer.start()

    def _count(self, route: str, key: str, upstream: str, status: int, outcome: EndedBy) -> None:
        if self._instruments is None:
            # Slow to load, and not needed while all is well.
            made = import_module("proxy.meter.multiprocess").supervisor_counts
            self._instruments, self._close = made(str(self._directory))
        self._instruments.requests[route, key, upstream, str(status), str(outcome)].inc()
        self._instruments.model_requests["", upstream, str(outcome)].inc()


def _id_of(line: dict[str, Any]) -> str:
    own_id: str = line.get("own_id") or line["request_id"]
    return own_id


def _hash_of(request_id: str) -> int:
    hashed: int = import_module("proxy.meter.counted_requests").hash_of(request_id)
    return hashed


def _each(text: str) -> list[str]:
    """The values for each try; a colon parts those of an internal redirect."""
    return [part.strip() for part in text.replace(" : ", ",").split(",") if part.strip()]


def _outcome(status: int) -> EndedBy:
    if status == 499:
        return EndedBy.CLIENT_LEFT
    if status == 429:
        return EndedBy.LIMITED
    if status == 503:
        return EndedBy.SHED
    return EndedBy.REJECTED if status < 500 or status in {501, 505} else EndedBy.FAILED
