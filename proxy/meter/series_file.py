"""Files of a worker's time series, whose disk space is allocated before they are mapped.

Otherwise a page of a mapped file is allocated at its first write, and on a full disk the kernel
kills the process with SIGBUS (mmap(2)). Files are therefore allocated first (posix_fallocate(3)),
and a series that does not fit is kept in memory until there is space.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import structlog
from prometheus_client.mmap_dict import MmapedDict, mmap_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIRST_BYTES = 64 * 1024
_BESIDE_KEY = 64
"""An upper bound of a series' bytes in addition to its key."""
_LAST_BUCKET = "+Inf"
RETRY_SECONDS = 1.0
"""How long to wait before allocating again after a failure."""
LOG_SECONDS = 60.0
"""The least interval of log lines about a full disk."""

_log = structlog.get_logger("metrics")


def allocate(path: str | os.PathLike[str], size: int) -> None:
    """Create or extend a file to at least `size` allocated bytes; only the owner may write it.

    Raises `OSError` without space; the file's size is then unchanged.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        try:
            os.posix_fallocate(descriptor, 0, max(before, size))
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


class SeriesFile(MmapedDict):
    """One file of time series, in the library's format. Raises `OSError` without space."""

    def __init__(self, path: str) -> None:
        allocate(path, FIRST_BYTES)
        super().__init__(path)  # type: ignore[no-untyped-call]

    def make_room(self, keys: Iterable[str]) -> None:
        """Allocate space for all new keys, or for none. Raises `OSError`."""
        new = [len(key.encode()) + _BESIDE_KEY for key in keys if key not in self._positions]
        self._make_room(self._used + sum(new))

    def _init_value(self, key: str) -> None:
        """Create a series, after allocating its space."""
        self._make_room(self._used + len(key.encode()) + _BESIDE_KEY)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _make_room(self, needed: int) -> None:
        if needed <= self._capacity:
            return
        pages = -(-needed // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            size = max(pages, 2 * self._capacity)
            allocate(self._fname, size)
        except OSError:
            # Use the disk's last pages, too.
            size = pages
            allocate(self._fname, size)
        self._m = mmap.mmap(self._f.fileno(), size)
        self._capacity = size


class Files:
    """The files of one process, by kind of series."""

    def __init__(
        self, directory: str, name: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._name = name
        self._now = now
        self._files: dict[str, SeriesFile] = {}
        self._closed_until: dict[str, float] = {}
        self._logged_at = float("-inf")
        self._unfinished: dict[tuple[str, ...], list[FiledValue]] = {}
        self.lock = threading.RLock()
        self.refused: Callable[[], object] = lambda: None
        """Called for each new series that does not fit."""

    def parts(self, value: FiledValue, name: str, labels: list[str]) -> list[FiledValue]:
        """Return the values of this value's series; a histogram's are created one by one."""
        if value.kind != "histogram":
            return [value]
        summed = name.endswith("_sum")
        label_values = labels if summed else labels[:-1]
        series = (name.removesuffix("_sum" if summed else "_bucket"), *label_values)
        parts = self._unfinished.setdefault(series, [])
        parts.append(value)
        if not summed and labels[-1] == _LAST_BUCKET:
            del self._unfinished[series]
        return parts

    def is_whole(self, parts: list[FiledValue]) -> bool:
        """Whether all values of that series have been created."""
        return all(parts is not others for others in self._unfinished.values())

    def room_for(self, kind: str, keys: list[str]) -> tuple[SeriesFile, list[float]] | None:
        """Return a series' file and its parts' counts so far.

        None without space for all of them: a partial histogram would be wrong.
        """
        if self._closed_until.get(kind, float("-inf")) > self._now():
            return None
        try:
            file = self._files.get(kind)
            if file is None:
                path = Path(self._directory, f"{kind}_{self._name}.db")
                file = self._files[kind] = SeriesFile(str(path))
            file.make_room(keys)
            counted = [file.read_value(key)[0] for key in keys]  # type: ignore[no-untyped-call]
        except OSError as error:
            self._closed_until[kind] = self._now() + RETRY_SECONDS
            self._log_no_room(error)
            return None
        return file, counted

    def close(self) -> None:
        """Close the files; later values stay in memory."""
        for file in self._files.values():
            file.close()  # type: ignore[no-untyped-call]
        self._files.clear()

    def _log_no_room(self, error: OSError) -> None:
        if self._now() - self._logged_at >= LOG_SECONDS:
            self._logged_at = self._now()
            _log.error(
                "metrics_without_room",
                reason=error.strerror,
                directory=self._directory,
                advice="New time series are kept in memory until there is room: give /tmp more.",
            )


class FiledValue:
    """A value in a file; in memory only while the file has no space for it."""

    __slots__ = ("_file", "_parts", "_timestamp", "_value", "key", "kind")
    _files: ClassVar[Files]
    _multiprocess = True

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: list[str],
        labelvalues: list[str],
        help_text: str,
        multiprocess_mode: str = "",
        **_more: object,
    ) -> None:
        self.kind = f"{typ}_{multiprocess_mode}" if typ == "gauge" else typ
        self.key = mmap_key(metric_name, name, labelnames, labelvalues, help_text)
        self._value = self._timestamp = 0.0
        self._file: SeriesFile | None = None
        with self._files.lock:
            self._parts = self._files.parts(self, name, labelvalues)
            if self._files.is_whole(self._parts) and self._place() is None:
                self._files.refused()

    def inc(self, amount: float) -> None:
        """Add to the value."""
        with self._files.lock:
            file = self._file or self._place()
            self._value += amount
            if file is not None:
                file.write_value(self.key, self._value, self._timestamp)  # type: ignore[no-untyped-call]

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Set the value."""
        with self._files.lock:
            file = self._file or self._place()
            self._value, self._timestamp = value, timestamp or 0.0
            if file is not None:
                file.write_value(self.key, self._value, self._timestamp)  # type: ignore[no-untyped-call]

    def get(self) -> float:
        """Return the value."""
        return self._value

    def set_exemplar(self, exemplar: object) -> None:
        """Do nothing: files hold no exemplars."""

    def get_exemplar(self) -> None:
        """Return None: there are no exemplars."""

    def take_place(self, file: SeriesFile, counted: float) -> None:
        """Move the value into a file, adding its count from an earlier process."""
        self._file = file
        self._value += counted
        file.write_value(self.key, self._value, self._timestamp)  # type: ignore[no-untyped-call]

    def _place(self) -> SeriesFile | None:
        """Move the whole series into the file, if there is space."""
        placed = self._files.room_for(self.kind, [part.key for part in self._parts])
        if placed is not None:
            file, counted = placed
            for part, before in zip(self._parts, counted, strict=True):
                part.take_place(file, before)
        return self._file


def value_class(files: Files) -> type[FiledValue]:
    """Return a class for the library's `values.ValueClass`, bound to these files."""

    class Bound(FiledValue):
        __slots__ = ()
        _files = files

    return Bound
