"""Writes log lines whole, or drops and counts them, without blocking or failing.

The log's reader may end (EPIPE), its disk may be full (ENOSPC), or it may block with a full pipe,
as a paused terminal does. Streams must continue meanwhile. Lost lines are reported in a line of
their own as soon as one can be written.
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
"""How long a writer waits for a blocked reader, once; then lines are dropped."""


class LogOutput:
    """Standard error or output, by its descriptor; thread-safe."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name
        self._lock = threading.Lock()
        self._blocked = False
        self._partial_line = False
        """Whether the last write ended within a line."""
        self.lost = 0
        """Dropped lines that have not been reported."""

    def write(self, text: bytes | str, wait: float = WAIT_SECONDS) -> int:
        """Write whole lines; drop what cannot be written within `wait` seconds."""
        lines = text.encode(errors="backslashreplace") if isinstance(text, str) else text
        if not self._lock.acquire(timeout=wait):
            self.lost += lines.count(b"\n")
            return len(text)
        try:
            if self.lost and self._put(self._lost_lines_event()):
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
        """Do nothing: there is no buffer."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def _put(self, piece: bytes, wait: float = 0.0) -> bool:
        """Write a piece that a pipe accepts atomically. Return whether it was written."""
        if not self._has_room(0.0 if self._blocked else wait):
            self._blocked = True
            return False
        self._blocked = False
        if self._partial_line:
            piece = b"\n" + piece
        remaining = memoryview(piece)
        try:
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
        except OSError:
            self._partial_line = self._partial_line or 0 < len(remaining) < len(piece)
            return False
        self._partial_line = False
        return True

    def _has_room(self, wait: float) -> bool:
        poll = select.poll()
        try:
            poll.register(self._descriptor, select.POLLOUT)
            return bool(poll.poll(wait * 1000))
        except OSError:
            return False

    def _lost_lines_event(self) -> bytes:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event: dict[str, str | int] = {"event": "lines_lost", "level": "error", "timestamp": stamp}
        event["lines"] = self.lost
        event["reason"] = f"the reader of {self._name} had ended or was blocked, or a disk was full"
        return msgspec.json.encode(event) + b"\n"


def _pieces(lines: bytes) -> Iterator[bytes]:
    """Group whole lines into pieces that a pipe writes atomically (POSIX, `PIPE_BUF`).

    Otherwise lines of other processes that share the pipe could be interleaved; only a longer line
    may still be split.
    """
    start = 0
    # One byte less: a line feed that ends a partial line may precede the piece.
    max_bytes = PIPE_BUF - 1
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + max_bytes) + 1 or min(start + max_bytes, len(lines))
        yield lines[start:end]
        start = end


STDERR = LogOutput(2, "standard error")
"""The log of this process and, in a supervisor, of its children."""
STDOUT = LogOutput(1, "standard output")
