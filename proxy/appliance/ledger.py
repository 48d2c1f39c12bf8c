"""Counts the requests that no worker can have counted: those it died with, and nginx's own answers.

A request that a worker died with may also be in nginx's log, as a 502 or as one that another
worker has answered in the end. It must be counted once, so what the dead worker left waits for
nginx's line for a moment; the request id joins the two. The same holds for what nginx answered
itself though a worker had been reached: the worker may have read the request, and count it, or not.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from proxy.record import EndedBy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from proxy.meter.inflight import Record
    from proxy.record import RequestRecord

WAIT_SECONDS = 3.0
"""For nginx's line, which it holds back for up to a second."""
_MOST_EXPLAINED = 10_000
_WORKER_DIED = frozenset({502, 504})
_PROBES = frozenset({"/healthz", "/readyz"})


class Ledger:
    """Written by the supervisor's threads, in a file of its own beside the workers'."""

    def __init__(self, directory: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._now = now
        self._lock = threading.Lock()
        self._left: list[tuple[float, Record]] = []
        self._explained: OrderedDict[str, int] = OrderedDict()
        self._doubtful: list[tuple[float, dict[str, Any]]] = []
        """Lines of nginx about requests that a worker may have counted."""
        self._timer: threading.Timer | None = None
        self._instruments: Any = None
        self._close: Callable[[], None] = lambda: None

    def buried(self, worker: int) -> None:
        """A worker has died: what it had in flight is counted soon, unless nginx explains it."""
        inflight = import_module("proxy.meter.inflight")
        path = inflight.path_of(str(self._directory), worker)
        records = inflight.left_behind(path)
        path.unlink(missing_ok=True)
        with self._lock:
            self._left += [(self._now() + WAIT_SECONDS, record) for record in records]

    def settle(self, *, at_once: bool = False) -> None:
        """Count what has waited long enough."""
        with self._lock:
            now = float("inf") if at_once else self._now()
            due = [record for at, record in self._left if at <= now]
            self._left = [one for one in self._left if one[0] > now]
            for record in due:
                if self._explained.get(record.request_id, 0) > 0:
                    self._explained[record.request_id] -= 1
                else:
                    status = record.status or 502
                    self._count(record.route, record.key, record.upstream, status, EndedBy.FAILED)
            doubtful = [line for at, line in self._doubtful if at <= now]
            self._doubtful = [one for one in self._doubtful if one[0] > now]
            if doubtful:
                self._settle_doubtful(doubtful)
            self._timer = None
            if self._doubtful:
                self._settle_later()

    def _settle_doubtful(self, lines: list[dict[str, Any]]) -> None:
        inflight = import_module("proxy.meter.inflight")
        counted = import_module("proxy.meter.ended").Counted(self._directory)
        running = {
            record.request_id
            for path in self._directory.glob("in-flight-*")
            for record in inflight.left_behind(path)
        }
        for line in lines:
            request_id, lost = line["request_id"], line["status"] in _WORKER_DIED
            # Of a worker that has not been buried yet the record is settled with the others.
            known = request_id in counted or (request_id in running and not lost)
            if lost if not counted.known else not known:
                self._count_line(line)

    def _settle_later(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(WAIT_SECONDS, self.settle)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Close the file."""
        if self._timer is not None:
            self._timer.cancel()
        self._close()

    def saw(self, line: dict[str, Any]) -> None:
        """Take in one of nginx's access lines."""
        connects = _each(line.get("worker_connect", ""))
        reached = [connect not in {"", "-"} for connect in connects]
        own, status = bool(line.get("own")), line["status"]
        died = sum(reached if own and status in _WORKER_DIED else reached[:-1])
        if not died and not own:
            return
        with self._lock:
            if died:
                self._explain(line["request_id"], died)
            if not own or status < 400 or line["path"] in _PROBES:
                return
            if reached and reached[-1]:
                self._doubtful.append((self._now() + WAIT_SECONDS, line))
                self._settle_later()
            else:
                self._count_line(line)

    def _count_line(self, line: dict[str, Any]) -> None:
        route = import_module("proxy.edge.routes").route_of(line["path"])
        self._count(route.label, "", "", line["status"], _outcome(line["status"]))

    def refused(self, record: RequestRecord) -> None:
        """Count a request that the supervisor has answered itself."""
        outcome = record.ended_by or EndedBy.SHED
        with self._lock:
            self._count(record.route, "", "", record.status or 503, outcome)

    def _explain(self, request_id: str, times: int) -> None:
        self._explained[request_id] = self._explained.pop(request_id, 0) + times
        while len(self._explained) > _MOST_EXPLAINED:
            self._explained.popitem(last=False)

    def _count(self, route: str, key: str, upstream: str, status: int, outcome: EndedBy) -> None:
        if self._instruments is None:
            # Slow to load, and not needed while all is well.
            made = import_module("proxy.meter.multiprocess").supervisor_counts
            self._instruments, self._close = made(str(self._directory))
        self._instruments.requests[route, key, upstream, str(status), str(outcome)].inc()
        self._instruments.model_requests["", upstream, str(outcome)].inc()


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
