"""Sends a log to one reader: the events after its cursor, then live ones, then the end."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict

from proxy.edge.downstream_response import DownstreamResponse, hang_up, stream_headers
from proxy.edge.orphan_end import family_of, terminal_event_after
from proxy.edge.progress_frames import FRAME_SECONDS, ProgressFrames
from proxy.edge.recording import STREAM_ID
from proxy.edge.stream_errors import EventsGone, LogLost, LogsUnavailable
from proxy.record import EndedBy
from proxy.relay.body_relay import Outcome
from proxy.relay.recorded_stream import ping_for
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_reader import LogGone, LogTrimmed

if TYPE_CHECKING:
    from proxy.edge.request_context import RequestContext
    from proxy.edge.worker_state import WorkerState
    from proxy.errors import SluiceError
    from proxy.relay.client_writer import ClientWriter
    from proxy.state.log_reader import Events, LogReader
    from proxy.state.stream_logs import LogState

ENDED_BY = "Sluice-Ended-By"
_WAIT_SECONDS = 0.5
"""The longest wait for events, so that pings, progress and draining are checked."""
_RETRY_SECONDS = 0.1
"""The least interval between attempts to get figures while there are none."""
_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')
_LINE_ENDS = (b"\r\n", b"\n", b"\r")


@dataclass(frozen=True, slots=True)
class View:
    """How a reader wants the events."""

    ids: bool = False
    """With an `id:` line in each, and a final `done` event."""
    progress: bool = False
    """With progress frames between the events."""
    sequence_after: int | None = None
    """Only events whose `sequence_number` is greater."""
    opening: bytes = b""
    """Bytes to send first."""


class Replay:
    """The response to one reader."""

    def __init__(
        self,
        state: WorkerState,
        context: RequestContext,
        log: LogState,
        view: View,
        progress_of: Callable[[], Any],
    ) -> None:
        """Take `progress_of`, which returns the producer's latest progress figures."""
        self._state = state
        self._context = context
        self._log = log
        self._view = view
        self._progress_of = progress_of
        self._family = family_of(log.header)
        self._passing = view.sequence_after is None
        self._last_sent = b""
        self._progressed_at = 0.0
        self._progress = ProgressFrames()

    async def run(self, reader: LogReader) -> DownstreamResponse:
        """Send until the end; return the response, sent except for its last chunk."""
        headers = headers_of(self._log, self._context)
        downstream = DownstreamResponse(status=200, headers=headers)
        client = await self._context.commit(downstream, self._view.opening)
        outcome = Outcome(EndedBy.UPSTREAM_CUT, whole=False)
        try:
            async with asyncio.timeout(None) as stall_timeout:
                outcome = await self._send(reader, client, stall_timeout)
        except TimeoutError:
            outcome = Outcome(EndedBy.SLOW_CLIENT, whole=False, error="slow_client")
            hang_up(self._context.request)
        except (LogTrimmed, LogGone, StoreUnavailable) as error:
            outcome = self._end_unreadable(client, error)
        self._context.record.ended_by = outcome.ended_by
        self._context.record.error = outcome.error
        downstream.end(outcome)
        return downstream

    async def _send(
        self, reader: LogReader, client: ClientWriter, stall_timeout: asyncio.Timeout
    ) -> Outcome:
        ping = self._state.timeouts.ping
        while True:
            if self._view.progress:
                await self._send_progress(client)
            events = await reader.next(_WAIT_SECONDS)
            now = time.monotonic()
            if events is not None:
                client.write(self._rendered(events), now)
                if events.end is not None:
                    return await self._end(events, client)
                if client.is_congested():
                    await self._drain(client, stall_timeout)
            elif self._state.resumables is None or self._state.resumables.closing:
                return Outcome(EndedBy.DRAINED, whole=False, error="gateway_stopped")
            elif now - client.written_at >= ping:
                client.write(ping_for(self._family, recorded=True), now)

    async def _drain(self, client: ClientWriter, stall_timeout: asyncio.Timeout) -> None:
        seconds = self._state.settings.slow_client_timeout_seconds
        loop = asyncio.get_running_loop()
        stall_timeout.reschedule(loop.time() + seconds if seconds else None)
        await client.drain()
        stall_timeout.reschedule(None)

    def _rendered(self, batch: Events) -> bytes:
        events = list(batch.events)
        self._last_sent = events[-1] if events else self._last_sent
        if not self._passing:
            events = self._above_sequence(events)
        if not self._view.ids:
            return b"".join(events)
        numbered = enumerate(events, batch.first)
        return b"".join(with_id(event, f"{self._log.id}:{number}") for number, event in numbered)

    def _above_sequence(self, events: list[bytes]) -> list[bytes]:
        after = self._view.sequence_after
        assert after is not None
        for index, event in enumerate(events):
            if (number := sequence_of(event)) is not None and number > after:
                self._passing = True
                return events[index:]
        return []

    async def _end(self, batch: Events, client: ClientWriter) -> Outcome:
        end, now = batch.end, time.monotonic()
        assert end is not None
        client.write(batch.tail, now)
        if self._view.progress:
            client.write(self._progress.last(end.figures), now)
        if self._view.ids:
            document = {"ended_by": end.ended_by} | ({"error": end.error} if end.error else {})
            text = f"event: done\nid: {self._log.id}:{end.events}\ndata: {json.dumps(document)}\n\n"
            client.write(text.encode(), now)
        # An EventSource gets a clean end; other readers see the end that the first client saw.
        return Outcome(
            EndedBy(end.ended_by or EndedBy.FAILED),
            whole=end.whole or self._view.ids,
            error=end.error,
        )

    def _end_unreadable(self, client: ClientWriter, error: Exception) -> Outcome:
        """End with the family's error event, because the log can no longer be read."""
        reason: SluiceError = LogLost("The rest of this stream is lost.")
        if isinstance(error, LogTrimmed):
            reason = EventsGone("The next events were dropped from the log.")
        elif isinstance(error, StoreUnavailable):
            reason = LogsUnavailable("The store is unavailable.")
        now = time.monotonic()
        client.write(terminal_event_after(self._log.header, reason, self._last_sent), now)
        if self._view.ids:
            document = json.dumps({"ended_by": EndedBy.FAILED, "error": reason.fault.code})
            client.write(f"event: done\ndata: {document}\n\n".encode(), now)
        return Outcome(EndedBy.FAILED, whole=self._view.ids, error=reason.fault.code)

    async def _send_progress(self, client: ClientWriter) -> None:
        now = time.monotonic()
        if now - self._progressed_at < FRAME_SECONDS:
            return
        self._progressed_at = now
        figures = await self._progress_of()
        if figures is None:
            self._progressed_at = now - FRAME_SECONDS + _RETRY_SECONDS
        elif frame := self._progress.frame(figures):
            client.write(frame, now)


def sequence_of(event: bytes) -> int | None:
    """Return an event's `sequence_number`; None if it has none."""
    numbers = _SEQUENCE.findall(event)
    return int(numbers[-1]) if numbers else None


def headers_of(log: LogState, context: RequestContext) -> CIMultiDict[str]:
    """Return the headers of a reader's response: the upstream's own, and the stream's id."""
    try:
        kept = json.loads(log.header.get("head", "{}"))
    except ValueError:
        kept = {}
    headers = CIMultiDict(kept)
    content_type = headers.get("Content-Type")
    headers.update(stream_headers({}, context.record))
    if content_type:
        headers["Content-Type"] = content_type
    headers[STREAM_ID] = log.id
    if (end := log.end) is not None:
        headers[ENDED_BY] = end.ended_by
    return headers


def with_id(event: bytes, name: str) -> bytes:
    """Insert an `id:` line before the empty line that ends the event.

    Not at its beginning: a comment block may precede the event, and a browser cut off after that
    would count the event as seen.
    """
    for end in _LINE_ENDS:
        if event.endswith(end + end):
            return event[: -len(end)] + b"id: " + name.encode() + end + end
    # Mixed line ends.
    return event.rstrip(b"\r\n") + b"\nid: " + name.encode() + b"\n\n"
