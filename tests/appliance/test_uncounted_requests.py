from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from proxy.appliance import uncounted_requests as ledgers
from proxy.appliance.uncounted_requests import UncountedRequests
from proxy.meter import counted_requests
from proxy.meter.counted_requests import CountedRequests
from proxy.meter.multiprocess import collect
from proxy.meter.requests_in_flight import RequestsInFlight, path_of
from tests.meter.requests_made import answered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[UncountedRequests]:
    """A ledger in an empty directory."""
    made = UncountedRequests(tmp_path)
    yield made
    made.close()


def counted(directory: Path) -> Counter[tuple[str, str]]:
    """Requests by status and outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    for family in text_string_to_metric_families(collect(str(directory)).decode()):
        for sample in family.samples:
            if sample.name == "sluice_requests_total":
                counts[sample.labels["status"], sample.labels["ended_by"]] += int(sample.value)
    return counts


def die_with(directory: Path, *ids: str, status: int = 0) -> None:
    """A worker that had these in flight."""
    here = RequestsInFlight(path_of(str(directory), 0))
    asked = [
        answered(request_id=request_id, status=status, upstream_status=None) for request_id in ids
    ]
    for request in asked:
        here.write(request)


def counts(directory: Path, *ids: str) -> None:
    """A worker that has counted these."""
    here = CountedRequests(counted_requests.path_of(str(directory), 1))
    for request_id in ids:
        here.add(answered(request_id=request_id))


def line(request_id: str, status: int, connect: str = "", **more: Any) -> dict[str, Any]:
    """One of nginx's access lines."""
    known = {"request_id": request_id, "status": status, "worker_connect": connect, "own": 1}
    return known | {"path": "/v1/chat/completions"} | more


def test_what_a_worker_died_with_has_failed(ledger: UncountedRequests, tmp_path: Path) -> None:
    """Streams keep the status that their clients saw; what had none was a 502."""
    die_with(tmp_path, "r-1", "r-2", status=200)
    ledger.worker_died(0)
    ledger.settle()
    assert counted(tmp_path) == {}
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("200", "failed"): 2}


@pytest.mark.parametrize("log_first", [True, False])
def test_a_request_in_both_is_counted_once(
    ledger: UncountedRequests, tmp_path: Path, log_first: bool
) -> None:
    """Nginx answered 502 for what the worker died with, and says so before or after the death."""
    die_with(tmp_path, "r-1")
    if log_first:
        ledger.read_access_line(line("r-1", 502, "0.000"))
    ledger.worker_died(0)
    if not log_first:
        ledger.read_access_line(line("r-1", 502, "0.000"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_a_request_that_another_worker_answered_is_that_one_s(
    ledger: UncountedRequests, tmp_path: Path
) -> None:
    """A GET was tried again: its client saw one answer, which the second worker has counted."""
    die_with(tmp_path, "r-1")
    ledger.worker_died(0)
    ledger.read_access_line(line("r-1", 200, "0.000, 0.000", own=0))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((400, "rejected"), (413, "rejected"), (414, "rejected"), (431, "rejected")),
        *(
            (408, "rejected"),
            (499, "client_left"),
            (503, "shed"),
            (429, "limited"),
            (502, "failed"),
        ),
        *((504, "failed"), (505, "rejected")),
    ],
)
def test_nginx_s_own_answers_are_counted(
    ledger: UncountedRequests, tmp_path: Path, status: int, outcome: str
) -> None:
    """Where no worker was reached nobody else can have counted them."""
    ledger.read_access_line(line("r-1", status))
    assert counted(tmp_path) == {(str(status), outcome): 1}


def test_what_a_worker_knows_of_is_the_worker_s(ledger: UncountedRequests, tmp_path: Path) -> None:
    """A client that leaves, or sends too much on the way, is counted by whom it was talking to."""
    ledger.read_access_line(line("r-1", 499, "0.000"))
    ledger.read_access_line(line("r-2", 413, "0.001"))
    ledger.read_access_line(line("r-3", 200, "0.001", own=0))
    ledger.read_access_line(line("r-4", 502, path="/readyz"))
    ledger.read_access_line(line("r-5", 204))
    assert counted(tmp_path) == {}


def test_a_worker_that_closes_before_its_answer_has_counted_it(
    ledger: UncountedRequests, tmp_path: Path
) -> None:
    """It lives and has its own outcome of the request, so nginx's 502 is not another one."""
    counts(tmp_path, "r-1")
    for known in ("r-1", "r-2"):
        ledger.read_access_line(line(known, 502, "0.000"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_a_client_that_left_before_a_worker_read_its_request(
    ledger: UncountedRequests, tmp_path: Path
) -> None:
    """Counted here; by the worker where that has read it, or still goes on with it."""
    counts(tmp_path, "read")
    die_with(tmp_path, "running")
    for known in ("read", "running", "unread"):
        ledger.read_access_line(line(known, 499, "0.000"))
    assert counted(tmp_path) == {}
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("499", "client_left"): 1}


def test_a_client_that_gives_all_its_requests_one_id(
    ledger: UncountedRequests, tmp_path: Path
) -> None:
    """Nginx's own tell them apart: one was counted, one had begun, and one was never read."""
    CountedRequests(counted_requests.path_of(str(tmp_path), 1)).add(
        answered(request_id="same", own_id="1")
    )
    begun = answered(request_id="same", own_id="2", status=0, upstream_status=None)
    RequestsInFlight(path_of(str(tmp_path), 0)).write(begun)
    for own_id in "123":
        ledger.read_access_line(line("same", 499, "0.000", own_id=own_id))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("499", "client_left"): 1}
    ledger.worker_died(0)
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("499", "client_left"): 1, ("502", "failed"): 1}


def test_a_worker_that_had_no_memory_for_a_head(ledger: UncountedRequests, tmp_path: Path) -> None:
    """It has told its 503 without an id, so that the request is counted here."""
    counts(tmp_path, "other")
    ledger.read_access_line(line("r-1", 503, "0.000", path="/v1/messages"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("503", "shed"): 1}


def test_a_worker_s_death_that_is_not_known_yet(ledger: UncountedRequests, tmp_path: Path) -> None:
    """The request is in nginx's log and in what the worker leaves: it is counted once."""
    counts(tmp_path)
    die_with(tmp_path, "r-1")
    ledger.read_access_line(line("r-1", 502, "0.000"))
    ledger.settle(at_once=True)
    ledger.worker_died(0)
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_doubts_are_settled_without_a_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A while after nginx's line, also where no worker dies."""
    monkeypatch.setattr(ledgers, "SETTLE_INTERVAL_SECONDS", 0.01)
    counts(tmp_path)
    ledger = UncountedRequests(tmp_path)
    try:
        ledger.read_access_line(line("r-1", 499, "0.000"))
        deadline = time.monotonic() + 10
        while not counted(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert counted(tmp_path) == {("499", "client_left"): 1}
    finally:
        ledger.close()


@dataclass
class Workers:
    """Which of them have not passed what was sent to them, and the time."""

    behind: set[int] = field(default_factory=set)
    seconds: float = 0.0

    def passed(self, worker: int) -> bool:
        """Whether it has begun with all that had come."""
        return worker not in self.behind

    def now(self) -> float:
        """The time, in seconds."""
        return self.seconds


@pytest.fixture
def workers() -> Workers:
    """All of them keep up."""
    return Workers()


@pytest.fixture
def asking(tmp_path: Path, workers: Workers) -> Iterator[UncountedRequests]:
    """A ledger that asks them."""
    made = UncountedRequests(tmp_path, workers.passed, workers.now)
    yield made
    made.close()


SECOND = {"worker": "unix:/run/worker-0.sock, unix:/run/worker-1.sock"}


@pytest.mark.parametrize("thaws", [True, False])
def test_a_frozen_worker(
    asking: UncountedRequests, tmp_path: Path, workers: Workers, thaws: bool
) -> None:
    """Its requests are counted once it has read them, however late, or once it never will."""
    counts(tmp_path, "other")
    workers.behind = {1}
    asking.read_access_line(line("r-1", 499, "-, 0.000", **SECOND))
    workers.seconds = 11.0
    asking.settle()
    assert counted(tmp_path) == {}
    if thaws:
        counts(tmp_path, "r-1")
    workers.behind = set()
    asking.settle()
    assert counted(tmp_path) == ({} if thaws else {("499", "client_left"): 1})


def test_a_worker_that_never_passes(
    asking: UncountedRequests, tmp_path: Path, workers: Workers
) -> None:
    """After a minute what is known then decides, and meanwhile no other worker waits for it."""
    counts(tmp_path, "other")
    workers.behind = {1}
    asking.read_access_line(line("r-1", 499, "0.000", worker="unix:/run/worker-1.sock"))
    asking.read_access_line(line("r-2", 504, "0.000", worker="unix:/run/worker-0.sock"))
    asking.settle()
    assert counted(tmp_path) == {("504", "failed"): 1}
    workers.seconds = ledgers.LONGEST_WAIT_SECONDS + 1
    asking.settle()
    assert counted(tmp_path) == {("504", "failed"): 1, ("499", "client_left"): 1}


def test_a_death_that_is_known_before_nginx_s_line_is_decided(
    asking: UncountedRequests, tmp_path: Path, workers: Workers
) -> None:
    """The line has the status that the client saw, so what is left of the request waits for it."""
    counts(tmp_path)
    die_with(tmp_path, "r-1", status=200)
    workers.behind = {0}
    asking.read_access_line(line("r-1", 502, "0.000", worker="unix:/run/worker-0.sock"))
    asking.worker_died(0)
    workers.seconds = 10.0
    asking.settle()
    assert counted(tmp_path) == {}
    workers.behind = set()
    asking.settle()
    asking.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_a_line_that_comes_after_all(ledger: UncountedRequests, tmp_path: Path) -> None:
    """What a worker died with has been counted by then, and is not counted again."""
    counts(tmp_path)
    die_with(tmp_path, "r-1")
    ledger.worker_died(0)
    ledger.settle(at_once=True)
    ledger.read_access_line(line("r-1", 502, "0.000"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_a_worker_that_is_killed_as_it_has_counted(
    ledger: UncountedRequests, tmp_path: Path
) -> None:
    """Before it could let go of the request: that is not counted again."""
    die_with(tmp_path, "r-1", "r-2")
    counts(tmp_path, "r-1")
    ledger.worker_died(0)
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_a_worker_that_has_no_room_to_tell(ledger: UncountedRequests, tmp_path: Path) -> None:
    """Its counts are its own where it lives; the others' requests are looked up as ever."""
    counts(tmp_path, "other")
    ledger.read_access_line(line("r-1", 499, "0.000", worker="unix:/run/worker-0.sock"))
    ledger.read_access_line(line("r-2", 502, "0.000", worker="unix:/run/worker-0.sock"))
    ledger.read_access_line(line("r-3", 499, "0.000", worker="unix:/run/worker-1.sock"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("499", "client_left"): 1, ("502", "failed"): 1}


def test_nginx_gives_up_on_a_worker_that_goes_on(ledger: UncountedRequests, tmp_path: Path) -> None:
    """Its 504 is the request that the worker counts once that has ended."""
    counts(tmp_path)
    die_with(tmp_path, "r-1")
    ledger.read_access_line(line("r-1", 504, "0.000"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {}


def test_a_client_that_left_a_worker_which_then_died(
    ledger: UncountedRequests, tmp_path: Path
) -> None:
    """The request is counted once, as its client would: it has left."""
    counts(tmp_path)
    die_with(tmp_path, "r-1")
    ledger.worker_died(0)
    ledger.read_access_line(line("r-1", 499, "0.000"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("499", "client_left"): 1}


def test_more_lines_than_can_wait(
    asking: UncountedRequests, tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are decided by what is known then, and memory has a bound."""
    monkeypatch.setattr(ledgers, "MOST_WAITING", 2000)
    counts(tmp_path, "r-0")
    workers.behind = {1}
    for number in range(2001):
        asking.read_access_line(line(f"r-{number}", 499, "0.000", worker="unix:/run/worker-1.sock"))
    assert counted(tmp_path) == {("499", "client_left"): 999}
    asking.settle(at_once=True)
    assert counted(tmp_path) == {("499", "client_left"): 2000}
