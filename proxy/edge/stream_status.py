"""Describes a stream's state as JSON: its progress, its end, and its whole answer when complete."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proxy.edge.orphan_end import family_of
from proxy.meter.assembly.assemble import assemble
from proxy.record import EndedBy

if TYPE_CHECKING:
    from proxy.edge.resumable_streams import ResumableStreams
    from proxy.state.stream_logs import LogState

_ENDED = "ended"


async def describe(resumables: ResumableStreams, log: LogState) -> dict[str, Any]:
    """Build the document. Raises `StoreUnavailable`."""
    progress = _progress(resumables, log)
    end = log.end
    stage = progress.pop("stage", "queued")
    if stage == _ENDED and end is None:
        # Its last events are still being written to the store.
        stage = "generating"
    document: dict[str, Any] = {
        "id": log.id,
        "object": "stream",
        "status": _ENDED if end else stage,
        "events": log.events,
        "first_event": log.first,
    }
    if "place" in progress and end is None:
        document["place"] = progress["place"]
    if end is None:
        progress.pop("place", None)
        return {**document, "figures": progress}
    document["ended_by"] = end.ended_by
    if end.error:
        document["error"] = end.error
    document["figures"] = end.figures
    if end.ended_by == EndedBy.COMPLETE and log.first <= 1:
        whole = assemble(family_of(log.header), await resumables.logs.whole(log))
        if whole is not None:
            document["response"] = whole
    return document


def _progress(resumables: ResumableStreams, log: LogState) -> dict[str, Any]:
    """Return the producer's latest figures, read directly if it runs in this worker."""
    running = resumables.logs.writer.running.get(log.id)
    progress: str | bytes = log.header.get("progress", "{}")
    if running is not None and running.progress is not None:
        progress = running.progress()["progress"]
    document: dict[str, Any] = json.loads(progress)
    return document
