from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.meter.requests_in_flight import InFlightRecord, RequestsInFlight, left_behind, path_of
from tests.meter.requests_made import answered

if TYPE_CHECKING:
    from pathlib import Path


def test_what_has_not_ended_is_left_behind(tmp_path: Path) -> None:
    """Of three requests one has ended; of the others it is known whose and where they were."""
    path = path_of(str(tmp_path), 0)
    here = RequestsInFlight(path)
    asked = [answered(request_id=f"r-{n}", status=0, upstream_status=None) for n in range(3)]
    for request_id in asked:
        here.write(request_id)
    asked[2].status = 200
    here.write(asked[2])
    here.remove(asked[0])
    assert left_behind(path) == [
        InFlightRecord("r-1", "/v1/chat/completions", "shop", "a", 0),
        InFlightRecord("r-2", "/v1/chat/completions", "shop", "a", 200),
    ]


def test_many_have_their_places(tmp_path: Path) -> None:
    """The file grows with what is in flight, and places are used again."""
    path = path_of(str(tmp_path), 0)
    here = RequestsInFlight(path)
    for _ in range(2):
        asked = [answered(request_id=f"r-{n}") for n in range(500)]
        for request_id in asked:
            here.write(request_id)
        assert len(left_behind(path)) == 500
        size = path.stat().st_size
        for request_id in asked:
            here.remove(request_id)
    assert left_behind(path) == []
    assert size <= 500 * 1024


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    """A worker alone has nobody to leave anything to."""
    here = RequestsInFlight(None)
    here.write(answered())
    here.remove(answered())
    assert left_behind(path_of(str(tmp_path), 0)) == []


def test_a_record_that_was_half_written_is_still_a_request(tmp_path: Path) -> None:
    """The kernel may end a worker between any two bytes."""
    path = path_of(str(tmp_path), 0)
    path.write_bytes(b'\x09\x00["r-1","/' + bytes(501))
    assert left_behind(path) == [InFlightRecord("", "other")]
