"""Which requests a worker has counted lately, in a file that the supervisor reads.

nginx and a worker may both know of a request that got no answer; the ids tell whether the worker
has counted it. The file is a ring of hashes: the newest take the place of the oldest.
"""

from __future__ import annotations

import mmap
import os
import sys
from array import array
from hashlib import blake2b
from pathlib import Path

import structlog

from proxy.meter.series_file import allocate

_HASH_BYTES = 8
KEPT = 16_384
"""Requests that are remembered: of some seconds, at more than one worker can serve."""
_log = structlog.get_logger("metrics")


class Ended:
    """Written by one worker. Without a path, or where there is no room, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._map: mmap.mmap | None = None
        self._next = 0
        if path is None:
            return
        try:
            allocate(path, KEPT * _HASH_BYTES)
        except OSError as error:
            path.unlink(missing_ok=True)
            _log.debug("ended_without_room", reason=error.strerror)
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(descriptor, KEPT * _HASH_BYTES)
        finally:
            os.close(descriptor)

    def add(self, request_id: str) -> None:
        """A request has been counted."""
        if self._map is not None:
            at = self._next * _HASH_BYTES
            self._map[at : at + _HASH_BYTES] = _hash(request_id)
            self._next = (self._next + 1) % KEPT


class Counted:
    """What all workers had counted when it was read."""

    def __init__(self, directory: Path) -> None:
        self._hashes: set[int] = set()
        self.known = False
        """Whether any worker keeps such a file."""
        for path in directory.glob("ended-*"):
            hashes = array("Q")
            try:
                hashes.frombytes(path.read_bytes())
            except (OSError, ValueError):
                continue
            self.known = True
            self._hashes.update(hashes)

    def __contains__(self, request_id: str) -> bool:
        return int.from_bytes(_hash(request_id), sys.byteorder) in self._hashes


def path_of(directory: str, worker: int) -> Path:
    """Where a worker's file lies."""
    return Path(directory) / f"ended-{worker}"


def _hash(request_id: str) -> bytes:
    return blake2b(request_id.encode(), digest_size=_HASH_BYTES).digest()
