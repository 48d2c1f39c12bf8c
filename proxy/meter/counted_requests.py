"""The requests that a worker has counted recently, in a file that the supervisor reads.

nginx and a worker may both know of a request without an answer; by its id, the supervisor finds out
whether the worker has counted it. The file contains hashes of ids, in segments. A full segment is
overwritten only when its newest hash is older than `KEPT_SECONDS`; until then the file grows. So it
covers a span of time, not a number of requests.
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
"""The size of a segment: 4,096 hashes."""
KEPT_SECONDS = 15.0
"""How long a request is kept at least: longer than nginx buffers its log line (1 s), and than the
supervisor takes to look it up (`UncountedRequests`)."""
MOST_SEGMENTS = 64
"""2 MiB, enough for 17,000 requests a second. Counting a disconnected client takes a worker about
30 µs, so even at its maximum rate 8 s are kept, several times what is needed."""
_log = structlog.get_logger("metrics")


class CountedRequests:
    """Written by one worker. Without a path, or on a full disk, it does nothing."""

    def __init__(self, path: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now = now
        self._map: mmap.mmap | None = None
        self._next = self._segment_end = 0
        """The offset of the next hash, and the end of its segment."""
        self._filled_at: list[float] = []
        """When each segment's newest hash was written."""
        if path is not None:
            if path.exists():
                # The supervisor may still look up what the worker's previous process has counted.
                self._filled_at = [now()] * (path.stat().st_size // SEGMENT_BYTES)
            self._begin_segment(path)

    def add(self, record: RequestRecord) -> None:
        """Add a request that has been counted."""
        if self._map is None:
            return
        if self._next == self._segment_end:
            assert self._path is not None
            self._filled_at[self._next // SEGMENT_BYTES - 1] = self._now()
            self._begin_segment(self._path)
        self._map[self._next : self._next + _HASH_BYTES] = _hash(record.unique_id)
        self._next += _HASH_BYTES

    def _begin_segment(self, path: Path) -> None:
        """Continue in a new segment, or in the oldest if that has expired or the disk is full."""
        if self._now() - min(self._filled_at, default=float("inf")) < KEPT_SECONDS:
            self._grow(path)
        if self._map is None:
            return
        segment = self._filled_at.index(min(self._filled_at))
        self._next = segment * SEGMENT_BYTES
        self._segment_end = self._next + SEGMENT_BYTES

    def _grow(self, path: Path) -> None:
        """Add an empty segment, unless there are too many or the disk is full."""
        segments = len(self._filled_at)
        try:
            if segments < MOST_SEGMENTS:
                allocate(path, (segments + 1) * SEGMENT_BYTES)
                self._filled_at.append(float("-inf"))
        except OSError as error:
            _log.debug("counted_requests_without_room", reason=error.strerror)
        if self._filled_at:
            self._map = _mapped(path, len(self._filled_at) * SEGMENT_BYTES)
        else:
            path.unlink(missing_ok=True)


def counted_among(directory: Path, hashes: set[int]) -> set[int] | None:
    """Return which of these requests any worker has counted; None if no worker keeps a file."""
    found_hashes: set[int] | None = None
    for path in directory.glob("ended-*"):
        counted = array("Q")
        try:
            counted.frombytes(path.read_bytes())
        except (OSError, ValueError):
            continue
        found_hashes = (found_hashes or set()) | hashes.intersection(counted)
    return found_hashes


def is_kept(directory: Path, worker: int | None) -> bool:
    """Whether a worker keeps a file; assumed if the worker is unknown."""
    return worker is None or path_of(str(directory), worker).exists()


def hash_of(request_id: str) -> int:
    """Return the hash that represents a request in the file."""
    return int.from_bytes(_hash(request_id), sys.byteorder)


def path_of(directory: str, worker: int) -> Path:
    """Return the path of a worker's file."""
    return Path(directory) / f"ended-{worker}"


def _mapped(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _hash(request_id: str) -> bytes:
    return blake2b(request_id.encode(), digest_size=_HASH_BYTES).digest()
