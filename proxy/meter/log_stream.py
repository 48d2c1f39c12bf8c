"""Where lines of the log go: written whole, or dropped and counted; nobody waits or fails for them.

The log's reader may end (EPIPE), its disk may be full (ENOSPC), or it may stand still with a full
pipe, as a paused terminal does. Streams have to go on meanwhile. What is lost is said in a line of
its own as soon as one can be written again.
"""

from __future__ import annotations

import os
import select
import threading
import time
from select import PIPE_BUF
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS = 0.2
"""How long a writer waits for a reader that stands still, once; then lines are dropped until the
reader goes on."""


class LogStream:
    """Standard error or output, by its descriptor. May be used by several threads."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._lock = threading.Lock()
        self._stuck = False
        self._torn = False
        """Whether the last thing written was a part of a line."""
        self.lost = 0
        """Lines that could not be written and have not been told of."""

    def write(self, text: bytes | str, wait: float = WAIT_SECONDS) -> int:
        """Write whole lines; what cannot be written within so many seconds is dropped."""
        lines = text.encode(errors="backslashreplace") if isinstance(text, str) else text
        if not self._lock.acquire(timeout=wait):
            self.lost += lines.count(b"\n")
            return len(text)
        try:
            if self.lost and self._put(self._told()):
                self.lost = 0
            done = 0
            for piece in _pieces(lines):
                if not self._put(piece, wait):
                    self.lost += lines.count(b"\n", done)
                    break
                done += len(piece)
        finally:
            self._lock.release()
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def _put(self, piece: bytes, wait: float = 0.0) -> bool:
        """Write a piece that a pipe takes at once or not at all; whether it was written."""
        if not self._has_room(0.0 if self._stuck else wait):
            self._stuck = True
            return False
        self._stuck = False
        if self._torn:
            piece = b"\n" + piece
        left = memoryview(piece)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self._torn = self._torn or 0 < len(left) < len(piece)
            return False
        self._torn = False
        return True

    def _has_room(self, wait: float) -> bool:
        poll = select.poll()
        try:
            poll.register(self._descriptor, select.POLLOUT)
            return bool(poll.poll(wait * 1000))
        except OSError:
            return False

    def _told(self) -> bytes:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        said: dict[str, str | int] = {"event": "lines_lost", "level": "error", "timestamp": stamp}
        said["lines"] = self.lost
        said["reason"] = f"the reader of {self._name} had ended or stood still, or a disk was full"
        return msgspec.json.encode(said) + b"\n"


def _pieces(lines: bytes) -> Iterator[bytes]:
    """As many whole lines together as a pipe takes in one piece (POSIX, `PIPE_BUF`).

    Other processes' lines may go to the same pipe. Where its reader is slow they would else stand
    in the middle of these; only a longer line than that may still be torn.
    """
    start = 0
    # A byte less than the pipe takes: the end of a torn line may come before it.
    most = PIPE_BUF - 1
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + most) + 1 or min(start + most, len(lines))
        yield lines[start:end]
        start = end


STDERR = LogStream(2, "standard error")
"""The log of this process, and of its children in a supervisor."""
STDOUT = LogStream(1, "standard output")
