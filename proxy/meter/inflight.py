"""What a worker has in flight, in a file that outlives it: so that a kill loses no request.

One record for each request, at a place of its own; an empty place begins with two zero bytes.
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

_PLACE = 512
_LENGTH = struct.Struct("<H")
_EMPTY = _LENGTH.pack(0)
_LONGEST_NAME = 64
_log = structlog.get_logger("metrics")


class Record(msgspec.Struct, array_like=True):
    """What is known of a request that has not ended."""

    own_id: str
    """nginx's own id of it, where the client has given it another; else its id."""
    route: str
    key: str = ""
    upstream: str = ""
    status: int = 0
    """What the upstream answered; 0 while it has not."""


class InFlight:
    """Written by one worker. Without a path, or where there is no room, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._places: dict[int, int] = {}
        self._free: list[int] = []
        self._map: mmap.mmap | None = None
        if path is not None:
            path.unlink(missing_ok=True)

    def write(self, record: RequestRecord) -> None:
        """Keep a request, or what is known of it now."""
        place = self._places.get(id(record))
        if place is None and (place := self._new_place()) is None:
            return
        self._places[id(record)] = place
        assert self._map is not None
        encoded = msgspec.json.encode(
            Record(
                record.own_id or record.request_id,
                record.route,
                record.client_key[:_LONGEST_NAME],
                record.upstream,
                record.status or record.upstream_status or 0,
            )
        )
        if len(encoded) <= _PLACE - _LENGTH.size:
            self._map[place : place + 2 + len(encoded)] = _LENGTH.pack(len(encoded)) + encoded

    def remove(self, record: RequestRecord) -> None:
        """A request has ended, and has been counted."""
        place = self._places.pop(id(record), None)
        if place is not None and self._map is not None:
            self._map[place : place + 2] = _EMPTY
            self._free.append(place)

    def _new_place(self) -> int | None:
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
        self._free.extend(range(size - _PLACE, before - _PLACE, -_PLACE))


def path_of(directory: str, worker: int) -> Path:
    """Where a worker's records lie."""
    return Path(directory) / f"in-flight-{worker}"


def left_behind(path: Path) -> list[Record]:
    """The requests that a worker had in flight when it died."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for place in range(0, len(data) - _PLACE + 1, _PLACE):
        (length,) = _LENGTH.unpack_from(data, place)
        if length:
            found.append(_read(data[place + 2 : place + 2 + length]))
    return found


def _read(record: bytes) -> Record:
    try:
        return msgspec.json.decode(record, type=Record)
    except msgspec.DecodeError:  # It died while it wrote; there was a request all the same.
        return Record("", "other")
