"""What a child writes: passed on in whole lines, the last of them kept on stderr."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

import structlog

from proxy.meter.log_stream import STDERR

if TYPE_CHECKING:
    from collections.abc import Callable

_KEPT_LINES = 30
_READ_BYTES = 65_536
# A line without an end is not held for ever.
_LONGEST_LINE = 1024 * 1024
_READER_SECONDS = 5.0
"""How long children's lines wait for a log's reader that stands still; so long their pipes, too,
have room for what they say."""
_log = structlog.get_logger("appliance")


class Lines:
    """Reads one pipe to its end, in a thread of its own.

    A slow reader of the log (a paused terminal, a full log driver) must not hold up the
    supervisor's event loop, which answers the health probes.
    """

    def __init__(
        self,
        descriptor: int,
        sink: Callable[[bytes], None],
        name: str,
        masked: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """`masked` makes a line fit to be kept as part of the stderr tail."""
        self._descriptor = descriptor
        self._masked = masked
        self._name = name
        self._sink = sink
        self._kept: deque[bytes] = deque(maxlen=_KEPT_LINES)
        self._thread = threading.Thread(target=self._pump, name=f"lines of {name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until the pipe has ended and its last line has been passed on; whether it has.

        A grandchild may still hold the pipe, and is not waited for longer.
        """
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def last(self) -> str:
        """The last lines, as text."""
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
            except Exception as error:  # noqa: BLE001 nothing that a child writes may end its log
                _log.error("lines_lost", process=self._name, reason=type(error).__name__)


def to_log(name: str) -> Callable[[bytes], None]:
    """The sink of a child that writes plain text: each line becomes a log line."""
    log = structlog.get_logger(name)

    def sink(lines: bytes) -> None:
        for line in lines.decode(errors="replace").splitlines():
            log.info(name, message=line)

    return sink


def to_stderr(lines: bytes) -> None:
    """The sink of children whose lines are log lines already."""
    STDERR.write(lines, _READER_SECONDS)
