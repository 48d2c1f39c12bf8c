"""A worker's requests in flight, in a file that outlives it, so that a kill loses no request.

One fixed-size record per request; a free record begins with two zero bytes.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from proxy.meter.series_file import FIRST_BYTES, allocate

if TYPE_CHECKING:
    from proxy.record import RequestRecord

_RECORD_BYTES = 512
_LENGTH = struct.Struct("<H")
_EMPTY = _LENGTH.pack(0)
_LONGEST_NAME = 64
_log = structlog.get_logger("metrics")


class InFlightRecord(msgspec.Struct, array_like=True):
    """A request that has not ended."""

    own_id: str
    """nginx's own id of the request, if the client sent another; else the request's id."""
    route: str
    key: str = ""
    upstream: str = ""
    status: int = 0
    """The upstream's status; 0 before its response."""


class RequestsInFlight:
    """Written by one worker. Without a path, or on a full disk, it does nothing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._offsets: dict[int, int] = {}
        self._free: list[int] = []
        self._map: mmap.mmap | None = None
        if path is not None:
            path.unlink(missing_ok=True)

    def write(self, record: RequestRecord) -> None:
        """Write a request's record, or update it."""
        offset = self._offsets.get(id(record))
        if offset is None and (offset := self._allocate()) is None:
            return
        self._offsets[id(record)] = offset
        assert self._map is not None
        encoded = msgspec.json.encode(
            InFlightRecord(
                record.unique_id,
                record.route,
                record.client_key[:_LONGEST_NAME],
                record.upstream,
                record.status or record.upstream_status or 0,
            )
        )
        if len(encoded) <= _RECORD_BYTES - _LENGTH.size:
            self._map[offset : offset + 2 + len(encoded)] = _LENGTH.pack(len(encoded)) + encoded

    def remove(self, record: RequestRecord) -> None:
        """Remove a request that has been counted."""
        offset = self._offsets.pop(id(record), None)
        if offset is not None and self._map is not None:
            self._map[offset : offset + 2] = _EMPTY
            self._free.append(offset)

    def _allocate(self) -> int | None:
        if not self._free and self._path is not None:
            self._grow(self._path)
        return self._free.pop() if self._free else None

    def _grow(self, path: Path) -> None:
        before = 0 if self._map is None else len(self._map)
        size = max(FIRST_BYTES, 2 * before)
        try:
            allocate(path, size)
        except OSError as error:
            _log.debug("in_flight_without_room", reason=error.strerror)
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._free.extend(range(size - _RECORD_BYTES, before - _RECORD_BYTES, -_RECORD_BYTES))


def path_of(directory: str, worker: int) -> Path:
    """Return the path of a worker's file."""
    return Path(directory) / f"in-flight-{worker}"


def left_behind(path: Path) -> list[InFlightRecord]:
    """Read the requests that a dead worker had in flight."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    records = []
    for offset in range(0, len(data) - _RECORD_BYTES + 1, _RECORD_BYTES):
        (length,) = _LENGTH.unpack_from(data, offset)
        if length:
            records.append(_read(data[offset + 2 : offset + 2 + length]))
    return records


def _read(record: bytes) -> InFlightRecord:
    try:
        return msgspec.json.decode(record, type=InFlightRecord)
    except msgspec.DecodeError:  # The worker died while writing; still count the request.
        return InFlightRecord("", "other")
