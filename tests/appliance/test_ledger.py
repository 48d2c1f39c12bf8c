from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import values
from prometheus_client.parser import text_string_to_metric_families

from proxy.appliance import ledger as ledgers
from proxy.appliance.ledger import Ledger
from proxy.meter import ended
from proxy.meter.ended import Ended
from proxy.meter.inflight import InFlight, path_of
from proxy.meter.multiprocess import collect
from tests.meter.requests_made import answered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger in an empty directory."""
    made = Ledger(tmp_path)
    yield made
    made.close()


def counted(directory: Path) -> Counter[tuple[str, str]]:
    """Requests by status and outcome."""
    found: Counter[tuple[str, str]] = Counter()
    for family in text_string_to_metric_families(collect(str(directory)).decode()):
        for one in family.samples:
            if one.name == "sluice_requests_total":
                found[one.labels["status"], one.labels["ended_by"]] += int(one.value)
    return found


def die_with(directory: Path, *ids: str, status: int = 0) -> None:
    """A worker that had these in flight."""
    here = InFlight(path_of(str(directory), 0))
    asked = [answered(request_id=one, status=status, upstream_status=None) for one in ids]
    for one in asked:
        here.write(one)


def counts(directory: Path, *ids: str) -> None:
    """A worker that has counted these."""
    here = Ended(ended.path_of(str(directory), 1))
    for one in ids:
        here.add(one)


def line(request_id: str, status: int, connect: str = "", **more: Any) -> dict[str, Any]:
    """One of nginx's access lines."""
    known = {"request_id": request_id, "status": status, "worker_connect": connect, "own": 1}
    return known | {"path": "/v1/chat/completions"} | more


def test_what_a_worker_died_with_has_failed(ledger: Ledger, tmp_path: Path) -> None:
    """Streams keep the status that their clients saw; what had none was a 502."""
    die_with(tmp_path, "r-1", "r-2", status=200)
    ledger.buried(0)
    ledger.settle()
    assert counted(tmp_path) == {}
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("200", "failed"): 2}


@pytest.mark.parametrize("log_first", [True, False])
def test_a_request_in_both_is_counted_once(ledger: Ledger, tmp_path: Path, log_first: bool) -> None:
    """Nginx answered 502 for what the worker died with, and says so before or after the death."""
    die_with(tmp_path, "r-1")
    if log_first:
        ledger.saw(line("r-1", 502, "0.000"))
    ledger.buried(0)
    if not log_first:
        ledger.saw(line("r-1", 502, "0.000"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_a_request_that_another_worker_answered_is_that_one_s(
    ledger: Ledger, tmp_path: Path
) -> None:
    """A GET was tried again: its client saw one answer, which the second worker has counted."""
    die_with(tmp_path, "r-1")
    ledger.buried(0)
    ledger.saw(line("r-1", 200, "0.000, 0.000", own=0))
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
    ledger: Ledger, tmp_path: Path, status: int, outcome: str
) -> None:
    """Where no worker was reached nobody else can have counted them."""
    ledger.saw(line("r-1", status))
    assert counted(tmp_path) == {(str(status), outcome): 1}


def test_what_a_worker_knows_of_is_the_worker_s(ledger: Ledger, tmp_path: Path) -> None:
    """A client that leaves, or sends too much on the way, is counted by whom it was talking to."""
    ledger.saw(line("r-1", 499, "0.000"))
    ledger.saw(line("r-2", 413, "0.001"))
    ledger.saw(line("r-3", 200, "0.001", own=0))
    ledger.saw(line("r-4", 502, path="/readyz"))
    ledger.saw(line("r-5", 204))
    assert counted(tmp_path) == {}


def test_a_worker_that_closes_before_its_answer_has_counted_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    """It lives and has its own outcome of the request, so nginx's 502 is not another one."""
    counts(tmp_path, "r-1")
    for known in ("r-1", "r-2"):
        ledger.saw(line(known, 502, "0.000"))
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_a_client_that_left_before_a_worker_read_its_request(
    ledger: Ledger, tmp_path: Path
) -> None:
    """Counted here; by the worker where that has read it, or still goes on with it."""
    counts(tmp_path, "read")
    die_with(tmp_path, "running")
    for known in ("read", "running", "unread"):
        ledger.saw(line(known, 499, "0.000"))
    assert counted(tmp_path) == {}
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("499", "client_left"): 1}


def test_a_worker_s_death_that_is_not_known_yet(ledger: Ledger, tmp_path: Path) -> None:
    """The request is in nginx's log and in what the worker leaves: it is counted once."""
    counts(tmp_path)
    die_with(tmp_path, "r-1")
    ledger.saw(line("r-1", 502, "0.000"))
    ledger.settle(at_once=True)
    ledger.buried(0)
    ledger.settle(at_once=True)
    assert counted(tmp_path) == {("502", "failed"): 1}


def test_doubts_are_settled_without_a_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A while after nginx's line, also where no worker dies."""
    monkeypatch.setattr(ledgers, "WAIT_SECONDS", 0.01)
    counts(tmp_path)
    ledger = Ledger(tmp_path)
    try:
        ledger.saw(line("r-1", 499, "0.000"))
        deadline = time.monotonic() + 10
        while not counted(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert counted(tmp_path) == {("499", "client_left"): 1}
    finally:
        ledger.close()
