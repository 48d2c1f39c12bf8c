"""Frames of progress in the answer that a client is reading live.

A timer writes them, where no event has begun: a token costs nothing more. They are in no log, and a
cursor does not count them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from proxy.edge.progress_frames import FRAME_SECONDS, ProgressFrames

if TYPE_CHECKING:
    from typing import Any

    from proxy.relay.body_filter import BodyFilter
    from proxy.relay.client_writer import ClientWriter

_LOOK_SECONDS = 0.1


class Asking(Protocol):
    """The request whose client wants to know."""

    client: ClientWriter | None


class Figures(Protocol):
    """How far its stream is."""

    def progress(self) -> dict[str, Any]:
        """The figures of a frame."""


class LiveProgress:
    """One answer's frames; `stop` must be called in any case."""

    def __init__(self, context: Asking, figures: Figures) -> None:
        self.body_filter: BodyFilter | None = None
        """What the upstream's bytes pass through, once they come."""
        self._context = context
        self._figures = figures
        self._frames = ProgressFrames()
        self._stage = ""
        self._said_at = 0.0
        self._ended = False
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def end(self) -> None:
        """The stream's last byte is out: say so, if the answer was a stream and has a reader."""
        if not self._ended and self._context.client is not None:
            self._write(self._frames.last(self._figures.progress()))
        self.stop()

    def stop(self) -> None:
        """Write no more."""
        self._ended = True
        self._timer.cancel()

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)
        client = self._context.client
        if client is None or client.left or client.is_congested():
            return
        if self.body_filter is not None and not self.body_filter.between_events:
            return
        said = self._figures.progress()
        due = time.monotonic() - self._said_at >= FRAME_SECONDS
        if due or said["stage"] != self._stage:
            self._stage, self._said_at = said["stage"], time.monotonic()
            self._write(self._frames.frame(said))

    def _write(self, frame: bytes) -> None:
        client = self._context.client
        if client is not None:
            client.write(frame, time.monotonic())
