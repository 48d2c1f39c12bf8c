"""A capped set of names that all workers share, kept in a file of the metrics directory.

Without a file it is the one worker's own. The file outlives a worker, so that restarts do not
stretch the cap: one name a line, appended under a lock (flock(2)), never rewritten.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class KnownNames:
    """Names that were admitted, by this worker or by another."""

    def __init__(self, most: int, path: Path | None = None) -> None:
        self._most = most
        self._path = path
        self._known: set[str] = set()
        self._read = 0
        """Bytes of the file that have been read."""
        if path is not None and path.exists():
            with path.open("rb") as file:
                self._catch_up(file.fileno())

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def admit(self, name: str) -> bool:
        """Whether the name is one of the known, now at the latest.

        Once the cap is reached, no file is touched again. Where the file cannot be written, as on
        a full disk, the name is not admitted this time.
        """
        if name in self._known:
            return True
        if len(self._known) >= self._most:
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
            if name in self._known or len(self._known) >= self._most:
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
        """Learn what others have added. Half a line, of a writer that was killed, is none."""
        new = os.pread(descriptor, os.fstat(descriptor).st_size - self._read, self._read)
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._known.update(whole.decode(errors="replace").split("\n")[:-1])
