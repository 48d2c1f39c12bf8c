"""A capped set of names that all workers share, in a file of the metrics directory.

Without a file the set is this worker's own. The file outlives a worker, so that restarts do not
exceed the cap: one name per line, appended under a lock (flock(2)), never rewritten.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class SharedNameSet:
    """Names admitted by this worker or by another."""

    def __init__(self, max_names: int, path: Path | None = None) -> None:
        self._max_names = max_names
        self._path = path
        self._known: set[str] = set()
        self._read = 0
        """The number of bytes read from the file."""
        if path is not None and path.exists():
            with path.open("rb") as file:
                self._catch_up(file.fileno())

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def admit(self, name: str) -> bool:
        """Add the name unless the cap is reached. Return whether it is known.

        Once the cap is reached, the file is not accessed again. If the file cannot be written, as
        on a full disk, the name is not admitted this time.
        """
        if name in self._known:
            return True
        if len(self._known) >= self._max_names:
            return False
        if self._path is None:
            self._known.add(name)
            return True
        try:
            return self._admit_for_all(self._path, name)
        except OSError:
            return False

    def _admit_for_all(self, path: Path, name: str) -> bool:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._catch_up(descriptor)
            if name in self._known or len(self._known) >= self._max_names:
                return name in self._known
            line = f"{name}\n".encode()
            os.ftruncate(descriptor, self._read)
            if os.pwrite(descriptor, line, self._read) < len(line):
                os.ftruncate(descriptor, self._read)
                return False
            self._read += len(line)
            self._known.add(name)
            return True
        finally:
            os.close(descriptor)

    def _catch_up(self, descriptor: int) -> None:
        """Read what others have added; ignore a partial line, left by a killed writer."""
        new = os.pread(descriptor, os.fstat(descriptor).st_size - self._read, self._read)
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._known.update(whole.decode(errors="replace").split("\n")[:-1])
