"""Reads a child's output: passes on whole lines, and keeps the last ones."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

import structlog

from proxy.meter.log_output import STDERR

if TYPE_CHECKING:
    from collections.abc import Callable

_KEPT_LINES = 30
_READ_BYTES = 65_536
# A longer line is passed on in parts.
_LONGEST_LINE = 1024 * 1024
_READER_SECONDS = 5.0
"""How long lines wait for a blocked reader of the log; the pipes have room for as long."""
_log = structlog.get_logger("appliance")


class LineReader:
    """Reads one pipe to its end, in a thread.

    A thread, because a blocked reader of the log (a paused terminal, a full log driver) must not
    block the supervisor's event loop, which answers the health probes.
    """

    def __init__(
        self,
        descriptor: int,
        sink: Callable[[bytes], None],
        name: str,
        masked: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """Take `masked`, which removes secrets from a line that is kept."""
        self._descriptor = descriptor
        self._masked = masked
        self._name = name
        self._sink = sink
        self._kept: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._thread = threading.Thread(target=self._pump, name=f"lines of {name}", daemon=True)

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until the pipe has ended and its last line was passed on. Return whether it has.

        A grandchild may still hold the pipe open.
        """
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def last(self) -> str:
        """Return the last lines."""
        kept = map(self._masked, list(self._kept))
        return b"".join(kept).decode(errors="replace").rstrip()

    def _pump(self) -> None:
        rest = b""
        try:
            while data := os.read(self._descriptor, _READ_BYTES):
                whole, end, rest = (rest + data).rpartition(b"\n")
                self._pass_on(whole + end)
                if len(rest) > _LONGEST_LINE:
                    self._pass_on(rest + b"\n")
                    rest = b""
            if rest:
                self._pass_on(rest + b"\n")
        finally:
            os.close(self._descriptor)

    def _pass_on(self, lines: bytes) -> None:
        if lines:
            self._kept.extend(lines.splitlines(keepends=True)[-_KEPT_LINES:])
            try:
                self._sink(lines)
            except Exception as error:  # noqa: BLE001 no output may stop the reader
                _log.error("lines_lost", process=self._name, reason=type(error).__name__)


def to_log(name: str) -> Callable[[bytes], None]:
    """Return a sink that logs each line of a child that writes plain text."""
    log = structlog.get_logger(name)

    def sink(lines: bytes) -> None:
        for line in lines.decode(errors="replace").splitlines():
            log.info(name, message=line)

    return sink


def to_stderr(lines: bytes) -> None:
    """Write the lines of a child that writes log lines itself."""
    STDERR.write(lines, _READER_SECONDS)
