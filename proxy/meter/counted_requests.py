"""Which requests a worker has counted lately, in a file that the supervisor reads.

nginx and a worker may both know of a request that got no answer; the ids tell whether the worker
has counted it. The file holds hashes in segments: a full segment is written over only once its
newest hash is older than `KEPT_SECONDS`, and until then the file grows. So what is remembered is
a span of time, however many requests came in it.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from array import array
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from proxy.meter.series_file import allocate

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.record import RequestRecord

_HASH_BYTES = 8
SEGMENT_BYTES = 32 * 1024
"""Of 4,096 requests."""
KEPT_SECONDS = 15.0
"""For how long a request is remembered at least: longer than nginx holds back its line (1 s), and
than the supervisor takes to look (`Ledger`)."""
MOST_SEGMENTS = 64
"""2 MiB: 17,000 requests a second for so long. To take in and count a client that has left costs a
worker some 30 µs, so even at its very most 8 s are remembered, several times what is needed."""
_log = structlog.get_logger("metrics")


class CountedRequests:
    """Written by one worker. Without a path, or where there is no room, nothing is kept."""

    def __init__(self, path: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._map: mmap.mmap | None = None
        self._next = self._segment_end = 0
        """Where the next hash goes, and the end of the segment that it lies in."""
        self._filled_at: list[float] = []
        """When each segment got its newest hash."""
        if path is not None:
            if path.exists():
                # What an earlier life has counted may yet be asked for.
                self._filled_at = [now()] * (path.stat().st_size // SEGMENT_BYTES)
            self._begin_segment(path)

    def add(self, record: RequestRecord) -> None:
        """A request has been counted."""
        if self._map is None:
            return
        if self._next == self._segment_end:
            assert self._path is not None
            self._filled_at[self._next // SEGMENT_BYTES - 1] = self._now()
            self._begin_segment(self._path)
        self._map[self._next : self._next + _HASH_BYTES] = _hash(record.unique_id)
        self._next += _HASH_BYTES

    def _begin_segment(self, path: Path) -> None:
        """Go on in a new segment; in the oldest, where that is old enough or there is no room."""
        if self._now() - min(self._filled_at, default=float("inf")) < KEPT_SECONDS:
            self._grow(path)
        if self._map is None:
            return
        segment = self._filled_at.index(min(self._filled_at))
        self._next = segment * SEGMENT_BYTES
        self._segment_end = self._next + SEGMENT_BYTES

    def _grow(self, path: Path) -> None:
        """Add an empty segment, unless there are too many, or there is no room for it."""
        segments = len(self._filled_at)
        try:
            if segments < MOST_SEGMENTS:
                allocate(path, (segments + 1) * SEGMENT_BYTES)
                self._filled_at.append(float("-inf"))
        except OSError as error:
            _log.debug("ended_without_room", reason=error.strerror)
        if self._filled_at:
            self._map = _mapped(path, len(self._filled_at) * SEGMENT_BYTES)
        else:
            path.unlink(missing_ok=True)


def counted_among(directory: Path, hashes: set[int]) -> set[int] | None:
    """Those of these requests that some worker has counted; None if none keeps such a file."""
    found: set[int] | None = None
    for path in directory.glob("ended-*"):
        counted = array("Q")
        try:
            counted.frombytes(path.read_bytes())
        except (OSError, ValueError):
            continue
        found = (found or set()) | hashes.intersection(counted)
    return found


def is_kept(directory: Path, worker: int | None) -> bool:
    """Whether a worker keeps such a file; one that is not known is taken for one that does."""
    return worker is None or path_of(str(directory), worker).exists()


def hash_of(request_id: str) -> int:
    """What stands for a request in such a file."""
    return int.from_bytes(_hash(request_id), sys.byteorder)


def path_of(directory: str, worker: int) -> Path:
    """Where a worker's file lies."""
    return Path(directory) / f"ended-{worker}"


def _mapped(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _hash(request_id: str) -> bytes:
    return blake2b(request_id.encode(), digest_size=_HASH_BYTES).digest()
