"""Writes progress frames into the stream that a client reads live.

A timer writes them between events, so that relaying a token costs nothing more. They are not in the
stream's log, and a cursor does not count them.
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

_CHECK_SECONDS = 0.1


class ProgressClient(Protocol):
    """The request whose client reads the frames."""

    client: ClientWriter | None


class Figures(Protocol):
    """The source of the frames' figures."""

    def progress(self) -> dict[str, Any]:
        """Return the figures of a frame."""


class LiveProgress:
    """The progress frames of one response; `stop` must be called on every exit."""

    def __init__(self, context: ProgressClient, figures: Figures) -> None:
        self.body_filter: BodyFilter | None = None
        """The stream's filter, once the upstream has answered."""
        self._context = context
        self._figures = figures
        self._frames = ProgressFrames()
        self._stage = ""
        self._written_at = 0.0
        self._ended = False
        self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._write_if_due)

    def end(self) -> None:
        """Write the final frame after the stream's last byte, if there is a client."""
        if not self._ended and self._context.client is not None:
            self._write(self._frames.last(self._figures.progress()))
        self.stop()

    def stop(self) -> None:
        """Stop writing frames."""
        self._ended = True
        self._timer.cancel()

    def _write_if_due(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._write_if_due)
        client = self._context.client
        if client is None or client.left or client.is_congested():
            return
        if self.body_filter is not None and not self.body_filter.between_events:
            return
        figures = self._figures.progress()
        due = time.monotonic() - self._written_at >= FRAME_SECONDS
        if due or figures["stage"] != self._stage:
            self._stage, self._written_at = figures["stage"], time.monotonic()
            self._write(self._frames.frame(figures))

    def _write(self, frame: bytes) -> None:
        client = self._context.client
        if client is not None:
            client.write(frame, time.monotonic())
