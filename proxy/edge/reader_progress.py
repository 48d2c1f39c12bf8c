"""The progress figures for one reader, from the producer of its stream."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from proxy.state.error_map import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.edge.resumable_streams import ResumableStreams
    from proxy.state.stream_logs import LogState

_LONGEST_LAG_SECONDS = 2.0
"""After so long figures are newer than the reader, even if its machine's clock is ahead."""


class ReaderProgress:
    """The progress of a stream as its reader may see it; `figures` is called again and again.

    A producer writes its figures into the store twice a second. A client may have seen newer ones
    before its connection broke, so that figures older than the reader would run backwards.
    """

    def __init__(
        self,
        resumables: ResumableStreams,
        stream_id: str,
        owner: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take `clock`, in seconds since the epoch, as the producer's."""
        self._resumables = resumables
        self._stream_id = stream_id
        self._owner = owner
        self._clock = clock
        self._began_at = clock()

    async def figures(self) -> dict[str, Any] | None:
        """Return the figures; None if there are none yet, or the store is unavailable."""
        logs = self._resumables.logs
        running = logs.writer.running.get(self._stream_id)
        if running is not None and running.progress is not None:
            produced_here: dict[str, Any] = json.loads(running.progress()["progress"])
            return produced_here
        try:
            log = await logs.look(self._stream_id, self._owner)
        except StoreUnavailable:
            return None
        if log is None:
            return None
        written: dict[str, Any] | None = json.loads(log.header.get("progress", "null"))
        return None if written is None or self._is_older(log, written) else written

    def _is_older(self, log: LogState, figures: dict[str, Any]) -> bool:
        """Whether the figures may be from before this reader."""
        if log.end is not None or self._clock() - self._began_at >= _LONGEST_LAG_SECONDS:
            return False
        written_at: float = float(log.header.get("created", 0)) + figures.get(
            "elapsed_seconds", 0.0
        )
        return written_at < self._began_at
