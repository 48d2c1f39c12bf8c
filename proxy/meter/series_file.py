"""The file that a worker's time series live in, with its room taken before it is written to.

A page of a mapped file gets its place on the disk only when it is first written to; where there
is none left then, the kernel ends the process with SIGBUS (mmap(2)). So a file is allocated before
it is mapped (posix_fallocate(3)), and a series that finds no room lives in memory until there is.
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
"""More bytes than a series takes beside its key."""
_LAST_BUCKET = "+Inf"
AGAIN_SECONDS = 1.0
"""How long a file without room is not asked again."""
SAID_SECONDS = 60.0
"""How seldom the log says that there is no room."""

_log = structlog.get_logger("metrics")


def allocate(path: str | os.PathLike[str], size: int) -> None:
    """Make a file of at least so many bytes that all have their place; nobody else may write it.

    Raises `OSError` where there is no room; the file is then as long as it was.
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
    """One file of time series, in the library's format. Raises `OSError` where there is no room."""

    def __init__(self, path: str) -> None:
        allocate(path, FIRST_BYTES)
        super().__init__(path)  # type: ignore[no-untyped-call]

    def make_room(self, keys: Iterable[str]) -> None:
        """Take the room of all that are not here yet, or of none. Raises `OSError`."""
        new = [len(key.encode()) + _BESIDE_KEY for key in keys if key not in self._positions]
        self._make_room(self._used + sum(new))

    def _init_value(self, key: str) -> None:
        """Begin a series; the room for it is taken first."""
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
            # The last pages of a disk are still worth having.
            size = pages
            allocate(self._fname, size)
        self._m = mmap.mmap(self._f.fileno(), size)
        self._capacity = size


class Files:
    """The files of one process, by the kind of their series, and what found no room in them."""

    def __init__(
        self, directory: str, name: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._name = name
        self._now = now
        self._files: dict[str, SeriesFile] = {}
        self._closed_until: dict[str, float] = {}
        self._said_at = float("-inf")
        self._unfinished: dict[tuple[str, ...], list[FiledValue]] = {}
        self.lock = threading.RLock()
        self.refused: Callable[[], object] = lambda: None
        """Told of each series that found no room when it was begun."""

    def parts(self, value: FiledValue, name: str, labels: list[str]) -> list[FiledValue]:
        """The values that are one series with this one: those of a histogram are made in turn."""
        if value.kind != "histogram":
            return [value]
        summed = name.endswith("_sum")
        whose = labels if summed else labels[:-1]
        series = (name.removesuffix("_sum" if summed else "_bucket"), *whose)
        parts = self._unfinished.setdefault(series, [])
        parts.append(value)
        if not summed and labels[-1] == _LAST_BUCKET:
            del self._unfinished[series]
        return parts

    def is_whole(self, parts: list[FiledValue]) -> bool:
        """Whether no more values of that series are going to be made."""
        return all(parts is not others for others in self._unfinished.values())

    def room_for(self, kind: str, keys: list[str]) -> tuple[SeriesFile, list[float]] | None:
        """The file that holds a series, and what is counted of its parts.

        None where there is no room for all of them: half a histogram tells what is not so.
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
            self._closed_until[kind] = self._now() + AGAIN_SECONDS
            self._say(error)
            return None
        return file, counted

    def close(self) -> None:
        """Close the files; what is counted later stays in memory."""
        for file in self._files.values():
            file.close()  # type: ignore[no-untyped-call]
        self._files.clear()

    def _say(self, error: OSError) -> None:
        if self._now() - self._said_at >= SAID_SECONDS:
            self._said_at = self._now()
            _log.error(
                "metrics_without_room",
                reason=error.strerror,
                directory=self._directory,
                advice="New time series are kept in memory until there is room: give /tmp more.",
            )


class FiledValue:
    """A number in a file; in memory alone for as long as the file has no room for it."""

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
        """Add to it."""
        with self._files.lock:
            file = self._file or self._place()
            self._value += amount
            if file is not None:
                file.write_value(self.key, self._value, self._timestamp)  # type: ignore[no-untyped-call]

    def set(self, value: float, timestamp: float | None = None) -> None:
        """Let it be this."""
        with self._files.lock:
            file = self._file or self._place()
            self._value, self._timestamp = value, timestamp or 0.0
            if file is not None:
                file.write_value(self.key, self._value, self._timestamp)  # type: ignore[no-untyped-call]

    def get(self) -> float:
        """What it is."""
        return self._value

    def set_exemplar(self, exemplar: object) -> None:
        """Files hold no exemplars."""

    def get_exemplar(self) -> None:
        """There is none."""

    def take_place(self, file: SeriesFile, counted: float) -> None:
        """Be kept in a file from now on, where an earlier life has counted so much."""
        self._file = file
        self._value += counted
        file.write_value(self.key, self._value, self._timestamp)  # type: ignore[no-untyped-call]

    def _place(self) -> SeriesFile | None:
        """Take the place of the whole series in the file, if there is room for it."""
        found = self._files.room_for(self.kind, [part.key for part in self._parts])
        if found is not None:
            file, counted = found
            for part, before in zip(self._parts, counted, strict=True):
                part.take_place(file, before)
        return self._file


def value_class(files: Files) -> type[FiledValue]:
    """What the library makes each series of (`values.ValueClass`), kept in these files."""

    class Here(FiledValue):
        __slots__ = ()
        _files = files

    return Here
