"""Which requests a worker has counted lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.meter import ended
from proxy.meter.ended import KEPT, Counted, Ended, path_of
from tests.meter.test_series_file import small_disk

if TYPE_CHECKING:
    from pathlib import Path


def test_another_process_reads_which_requests_were_counted(tmp_path: Path) -> None:
    """Those of all workers, also of one that was started again."""
    for worker, request_id in ((0, "a"), (1, "b"), (0, "c")):
        Ended(path_of(str(tmp_path), worker)).add(request_id)
    counted = Counted(tmp_path)
    assert counted.known
    assert "b" in counted
    assert "c" in counted
    assert "d" not in counted


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    """The file does not grow, and nobody but its owner can read it."""
    here = Ended(path_of(str(tmp_path), 0))
    for number in range(KEPT + 1):
        here.add(str(number))
    counted = Counted(tmp_path)
    assert "0" not in counted
    assert "1" in counted
    assert str(KEPT) in counted
    state = path_of(str(tmp_path), 0).stat()
    assert state.st_size == KEPT * ended._HASH_BYTES
    assert state.st_mode & 0o077 == 0


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    """A worker alone keeps none, and one without room does not fail for it."""
    Ended(None).add("a")
    assert not Counted(tmp_path).known
    with small_disk(tmp_path / "disk", "64k") as disk:
        Ended(path_of(str(disk), 0)).add("a")
        assert not Counted(disk).known
