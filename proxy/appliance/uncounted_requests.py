"""Counts the requests that no worker counts: those of workers that died, and nginx's own answers.

Three sources report a request without an answer, joined by its id: nginx's log line, the requests
that a worker has counted (`meter.counted_requests`), and those that it has in flight
(`meter.requests_in_flight`).

If nginx's line says that it reached a worker, it is not known yet whether that worker will read and
count the request: it may be busy or frozen. So the line waits until the worker has passed the
request's place in its accept queue, as a later request through the same socket shows. Then:

- counted by the worker, or in flight there: the line is dropped, as the worker counts the request;
- in flight in a worker that has died: it is counted here, with the status of nginx's line;
- neither: the worker has never read it and never will, so it is counted here.
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
"""How long a dead worker's requests wait for nginx's line, which is buffered for up to a second."""
SETTLE_INTERVAL_SECONDS = 1.0
"""The time between two checks of the waiting lines."""
LONGEST_WAIT_SECONDS = 60.0
"""The longest wait for a worker; a frozen one is killed after 10 s."""
MOST_WAITING = 100_000
"""The maximum of waiting lines, about 300 bytes each; above it the oldest are settled at once.
A worker's backlog, from which they come, holds 16,384 connections."""
_SETTLED_AT_ONCE = 1000
"""The number of oldest lines settled when there are too many."""
_MOST_REMEMBERED = 10_000
_WORKER_DIED = frozenset({502, 504})
_PROBES = frozenset({"/healthz", "/readyz"})
_WORKER = re.compile(r"worker-(\d+)\.sock")


class _Line(NamedTuple):
    """The data of nginx's line about a request that a worker may count."""

    hashed: int
    route: str
    status: int
    worker: int | None
    seen_at: float


class _LostRequest(NamedTuple):
    """A dead worker's request, and when it is counted if nginx has not explained it."""

    due: float
    hashed: int
    record: InFlightRecord


class UncountedRequests:
    """The supervisor's counter; thread-safe. It has a metrics file of its own."""

    def __init__(
        self,
        directory: Path,
        passed: Callable[[int], bool] = lambda _worker: True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take `passed`: whether a worker has started all requests sent to it; it may block."""
        self._directory = directory
        self._passed = passed
        self._now = now
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._lost: list[_LostRequest] = []
        self._explained: OrderedDict[str, int] = OrderedDict()
        """How often nginx has passed a request to another worker, by request id."""
        self._counted: OrderedDict[int, None] = OrderedDict()
        """Requests that were counted here recently, for which nginx may still log a line."""
        self._waiting: list[_Line] = []
        self._timer: threading.Timer | None = None
        self._closed = False
        self._instruments: Any = None
        self._close: Callable[[], None] = lambda: None

    def worker_died(self, worker: int) -> None:
        """Count the requests that a dead worker had in flight, unless nginx explains them soon."""
        in_flight = import_module("proxy.meter.requests_in_flight")
        path = in_flight.path_of(str(self._directory), worker)
        records = in_flight.left_behind(path)
        path.unlink(missing_ok=True)
        with self._lock:
            due = self._now() + WAIT_SECONDS
            self._lost += [_LostRequest(due, _hash_of(record.own_id), record) for record in records]
            if self._lost:
                self._settle_later()

    def read_access_line(self, line: dict[str, Any]) -> None:
        """Read a line of nginx's access log."""
        connects = _split_attempts(line.get("worker_connect", ""))
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

    def count_rejected(self, record: RequestRecord) -> None:
        """Count a request that the supervisor itself has answered."""
        outcome = record.ended_by or EndedBy.SHED
        with self._lock:
            self._count(record.route, "", "", record.status or 503, outcome)
            self._counted[_hash_of(record.unique_id)] = None
            self._forget_oldest(self._counted)

    def settle(self, *, at_once: bool = False) -> None:
        """Count what has waited long enough. It blocks while it asks the workers."""
        with self._settling:
            with self._lock:
                lines, self._waiting = self._waiting, []
                self._timer = None
            workers = {line.worker for line in lines if line.worker is not None and not at_once}
            behind = {worker for worker in workers if not self._passed(worker)}
            latest = self._now() - LONGEST_WAIT_SECONDS
            waits = [line.worker in behind and line.seen_at > latest for line in lines]
            with self._lock:
                self._waiting[:0] = itertools.compress(lines, waits)
                self._settle([line for line, wait in zip(lines, waits, strict=True) if not wait])
                self._count_lost(float("inf") if at_once else self._now())
                if self._waiting or self._lost:
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
            self._settle(self._waiting[:_SETTLED_AT_ONCE])
            del self._waiting[:_SETTLED_AT_ONCE]
        self._settle_later()

    def _settle(self, lines: list[_Line]) -> None:
        """Count the requests of these lines that no worker counts."""
        if not lines:
            return
        # In this order: a worker removes a request from those in flight after it has counted it.
        running = self._running()
        counted_requests = import_module("proxy.meter.counted_requests")
        counted = counted_requests.counted_among(self._directory, {line.hashed for line in lines})
        elsewhere = running | self._counted.keys() | (counted or set())
        without_file = {
            worker
            for worker in {line.worker for line in lines}
            if counted is None or not counted_requests.is_kept(self._directory, worker)
        }
        counted_now: set[int] = set()
        for line in lines:
            if line.hashed in elsewhere:
                continue
            if line.worker in without_file and line.status not in _WORKER_DIED:
                # It keeps no file, for want of disk space; as it lives, it has counted the request.
                continue
            self._count(line.route, "", "", line.status, _outcome(line.status))
            counted_now.add(line.hashed)
        self._lost = [lost for lost in self._lost if lost.hashed not in counted_now]

    def _running(self) -> set[int]:
        """Return the requests in flight, also those of a worker that has just died."""
        in_flight = import_module("proxy.meter.requests_in_flight")
        return {
            _hash_of(record.own_id)
            for path in self._directory.glob("in-flight-*")
            for record in in_flight.left_behind(path)
        }

    def _count_lost(self, now: float) -> None:
        """Count the requests of dead workers that are due, unless a line of nginx explains them."""
        unsettled = {line.hashed for line in self._waiting}
        due: list[_LostRequest] = []
        later: list[_LostRequest] = []
        for lost in self._lost:
            (later if lost.due > now or lost.hashed in unsettled else due).append(lost)
        self._lost = later
        if not due:
            return
        counted_requests = import_module("proxy.meter.counted_requests")
        counted = (
            counted_requests.counted_among(self._directory, {lost.hashed for lost in due}) or ()
        )
        for _, hashed, record in due:
            if hashed in counted:
                # The worker was killed after it had counted the request, before it removed it.
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
            self._timer = threading.Timer(SETTLE_INTERVAL_SECONDS, self.settle)
            self._timer.daemon = True
            self._timer.start()

    def _count(self, route: str, key: str, upstream: str, status: int, outcome: EndedBy) -> None:
        if self._instruments is None:
            # Imported late: slow to load, and rarely needed.
            open_instruments = import_module("proxy.meter.multiprocess").supervisor_counts
            self._instruments, self._close = open_instruments(str(self._directory))
        self._instruments.requests[route, key, upstream, str(status), str(outcome)].inc()
        self._instruments.model_requests["", upstream, str(outcome)].inc()


def _id_of(line: dict[str, Any]) -> str:
    own_id: str = line.get("own_id") or line["request_id"]
    return own_id


def _hash_of(request_id: str) -> int:
    hashed: int = import_module("proxy.meter.counted_requests").hash_of(request_id)
    return hashed


def _split_attempts(text: str) -> list[str]:
    """Split a value per attempt; a colon separates those after an internal redirect."""
    return [part.strip() for part in text.replace(" : ", ",").split(",") if part.strip()]


def _outcome(status: int) -> EndedBy:
    if status == 499:
        return EndedBy.CLIENT_LEFT
    if status == 429:
        return EndedBy.LIMITED
    if status == 503:
        return EndedBy.SHED
    return EndedBy.REJECTED if status < 500 or status in {501, 505} else EndedBy.FAILED
