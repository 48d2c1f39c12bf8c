"""Which requests a worker has counted lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.meter import counted_requests
from proxy.meter.counted_requests import (
    KEPT_SECONDS,
    SEGMENT_BYTES,
    CountedRequests,
    counted_among,
    hash_of,
    path_of,
)
from tests.meter.requests_made import answered
from tests.meter.test_series_file import small_disk

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

IN_A_SEGMENT = SEGMENT_BYTES // counted_requests._HASH_BYTES


class Clock:
    """Shows what it is told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.seconds


def counted(directory: Path, *ids: str) -> set[str] | None:
    """Those that were counted."""
    hashes = counted_among(directory, set(map(hash_of, ids)))
    return (
        None
        if hashes is None
        else {request_id for request_id in ids if hash_of(request_id) in hashes}
    )


def count(here: CountedRequests, name: str, requests: int) -> None:
    """Count so many, called `name-0` and so on."""
    for number in range(requests):
        here.add(answered(request_id=f"{name}-{number}"))


def test_another_process_reads_which_requests_were_counted(tmp_path: Path) -> None:
    """Those of all workers, also of one that was started again."""
    for worker, request_id in ((0, "a"), (1, "b"), (0, "c")):
        CountedRequests(path_of(str(tmp_path), worker)).add(answered(request_id=request_id))
    assert counted(tmp_path, "a", "b", "c", "d") == {"a", "b", "c"}


def test_a_burst_is_remembered_whole(tmp_path: Path) -> None:
    """However many requests come, none is forgotten before its time."""
    clock = Clock()
    here = CountedRequests(path_of(str(tmp_path), 0), clock)
    count(here, "calm", IN_A_SEGMENT)
    clock.seconds += KEPT_SECONDS - 1
    count(here, "burst", 5 * IN_A_SEGMENT)
    clock.seconds += KEPT_SECONDS - 1
    count(here, "after", 3 * IN_A_SEGMENT)
    burst = [f"burst-{number}" for number in range(5 * IN_A_SEGMENT)]
    assert counted(tmp_path, *burst) == set(burst)


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    """The file does not grow at a rate that it has room for, and only its owner can read it."""
    clock = Clock()
    here = CountedRequests(path_of(str(tmp_path), 0), clock)
    for name in "abcdef":
        count(here, name, IN_A_SEGMENT)
        clock.seconds += KEPT_SECONDS
    assert counted(tmp_path, "d-0", "f-0") == {"f-0"}
    state = path_of(str(tmp_path), 0).stat()
    assert state.st_size <= 2 * SEGMENT_BYTES
    assert state.st_mode & 0o077 == 0


def test_the_file_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the oldest go before their time, and no others."""
    monkeypatch.setattr(counted_requests, "MOST_SEGMENTS", 3)
    here = CountedRequests(path_of(str(tmp_path), 0), Clock())
    for name in "abcd":
        count(here, name, IN_A_SEGMENT)
    assert counted(tmp_path, "a-0", "b-0", "c-0", "d-0") == {"b-0", "c-0", "d-0"}
    assert path_of(str(tmp_path), 0).stat().st_size == 3 * SEGMENT_BYTES


def test_a_worker_that_is_started_again(tmp_path: Path) -> None:
    """What its earlier lives have counted is still known."""
    for life in range(3):
        count(CountedRequests(path_of(str(tmp_path), 0)), f"life-{life}", IN_A_SEGMENT)
    assert counted(tmp_path, "life-0-0", "life-1-0", "life-2-0") == {
        "life-0-0",
        "life-1-0",
        "life-2-0",
    }


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    """A worker alone keeps none, and one without room does not fail for it."""
    CountedRequests(None).add(answered(request_id="a"))
    assert counted(tmp_path, "a") is None
    with small_disk(tmp_path / "disk", "16k") as disk:
        CountedRequests(path_of(str(disk), 0)).add(answered(request_id="a"))
        assert counted(disk, "a") is None


def test_a_full_disk_in_a_burst(tmp_path: Path) -> None:
    """What there is room for is remembered, the newest first."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        here = CountedRequests(path_of(str(disk), 0), Clock())
        for name in "abcd":
            count(here, name, IN_A_SEGMENT)
        counted_ids = counted(disk, "a-0", "d-0")
        assert counted_ids == {"d-0"}
