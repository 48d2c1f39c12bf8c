"""Sends a log to one reader: what it has not seen, then what comes, then the end."""

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
from proxy.relay.pump import Outcome
from proxy.relay.recorded import ping_for
from proxy.state.errors import StoreUnavailable
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
"""The longest wait for news, so that other things can be looked at."""
_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')
_LINE_ENDS = (b"\r\n", b"\n", b"\r")


@dataclass(frozen=True, slots=True)
class View:
    """How a reader wants to see the events."""

    ids: bool = False
    """Each with an `id:` line, and a plain end."""
    progress: bool = False
    """Frames between the events that say how far it is."""
    sequence_after: int | None = None
    """Only those whose `sequence_number` is above this."""
    opening: bytes = b""
    """What is sent before anything else."""


class Replay:
    """One reader's answer."""

    def __init__(
        self,
        state: WorkerState,
        context: RequestContext,
        log: LogState,
        view: View,
        progress_of: Callable[[], Any],
    ) -> None:
        """`progress_of` asks for what the producer says of the stream."""
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
        """Send until the end; the response has been sent but for its last chunk."""
        downstream = DownstreamResponse(status=200, headers=self._headers())
        client = await self._context.commit(downstream, self._view.opening)
        outcome = Outcome(EndedBy.UPSTREAM_CUT, whole=False)
        try:
            async with asyncio.timeout(None) as patience:
                outcome = await self._send(reader, client, patience)
        except TimeoutError:
            outcome = Outcome(EndedBy.SLOW_CLIENT, whole=False, error="slow_client")
            hang_up(self._context.request)
        except (LogTrimmed, LogGone, StoreUnavailable) as error:
            outcome = self._no_more(client, error)
        self._context.record.ended_by = outcome.ended_by
        self._context.record.error = outcome.error
        downstream.end(outcome)
        return downstream

    def _headers(self) -> CIMultiDict[str]:
        try:
            kept = json.loads(self._log.header.get("head", "{}"))
        except ValueError:
            kept = {}
        headers = CIMultiDict(kept)
        content_type = headers.get("Content-Type")
        headers.update(stream_headers({}, self._context.record))
        if content_type:
            headers["Content-Type"] = content_type
        headers[STREAM_ID] = self._log.id
        if (end := self._log.end) is not None:
            headers[ENDED_BY] = end.ended_by
        return headers

    async def _send(
        self, reader: LogReader, client: ClientWriter, patience: asyncio.Timeout
    ) -> Outcome:
        ping = self._state.timeouts.ping
        while True:
            if self._view.progress:
                await self._send_progress(client)
            found = await reader.next(_WAIT_SECONDS)
            now = time.monotonic()
            if found is not None:
                client.write(self._rendered(found), now)
                if found.end is not None:
                    return await self._end(found, client)
                if client.is_congested():
                    await self._drain(client, patience)
            elif self._state.resumables is None or self._state.resumables.closing:
                return Outcome(EndedBy.DRAINED, whole=False, error="gateway_stopped")
            elif now - client.written_at >= ping:
                client.write(ping_for(self._family, recorded=True), now)

    async def _drain(self, client: ClientWriter, patience: asyncio.Timeout) -> None:
        slow = self._state.settings.slow_client_timeout_seconds
        loop = asyncio.get_running_loop()
        patience.reschedule(loop.time() + slow if slow else None)
        await client.drain()
        patience.reschedule(None)

    def _rendered(self, found: Events) -> bytes:
        events = list(found.events)
        self._last_sent = events[-1] if events else self._last_sent
        if not self._passing:
            events = self._above_sequence(events)
        if not self._view.ids:
            return b"".join(events)
        numbered = enumerate(events, found.first)
        return b"".join(with_id(event, f"{self._log.id}:{number}") for number, event in numbered)

    def _above_sequence(self, events: list[bytes]) -> list[bytes]:
        after = self._view.sequence_after
        assert after is not None
        for place, event in enumerate(events):
            numbers = _SEQUENCE.findall(event)
            if numbers and int(numbers[-1]) > after:
                self._passing = True
                return events[place:]
        return []

    async def _end(self, found: Events, client: ClientWriter) -> Outcome:
        end, now = found.end, time.monotonic()
        assert end is not None
        client.write(found.tail, now)
        if self._view.progress:
            client.write(self._progress.last(end.figures), now)
        if self._view.ids:
            said = {"ended_by": end.ended_by} | ({"error": end.error} if end.error else {})
            text = f"event: done\nid: {self._log.id}:{end.events}\ndata: {json.dumps(said)}\n\n"
            client.write(text.encode(), now)
        # A browser's reader needs a plain end; everybody else sees what the first client saw.
        return Outcome(
            EndedBy(end.ended_by or EndedBy.FAILED),
            whole=end.whole or self._view.ids,
            error=end.error,
        )

    def _no_more(self, client: ClientWriter, error: Exception) -> Outcome:
        """The log cannot be read on, and this is not its end: say so as the family does."""
        why: SluiceError = LogLost("The rest of this stream can be read no more.")
        if isinstance(error, LogTrimmed):
            why = EventsGone("The next events have been dropped to make room.")
        elif isinstance(error, StoreUnavailable):
            why = LogsUnavailable("The store does not answer.")
        now = time.monotonic()
        client.write(terminal_event_after(self._log.header, why, self._last_sent), now)
        if self._view.ids:
            said = json.dumps({"ended_by": EndedBy.FAILED, "error": why.fault.code})
            client.write(f"event: done\ndata: {said}\n\n".encode(), now)
        return Outcome(EndedBy.FAILED, whole=self._view.ids, error=why.fault.code)

    async def _send_progress(self, client: ClientWriter) -> None:
        now = time.monotonic()
        if now - self._progressed_at < FRAME_SECONDS:
            return
        self._progressed_at = now
        said = await self._progress_of()
        if said is not None and (frame := self._progress.frame(said)):
            client.write(frame, now)


def with_id(event: bytes, name: str) -> bytes:
    """The event with an `id:` line of its own, before the empty line that ends it.

    Not at its beginning: there may be whole comments there, after which a browser would take the
    event for seen that it has not had yet.
    """
    for end in _LINE_ENDS:
        if event.endswith(end + end):
            return event[: -len(end)] + b"id: " + name.encode() + end + end
    # Line ends of two kinds.
    return event.rstrip(b"\r\n") + b"\nid: " + name.encode() + b"\n\n"
