"""The recording of one resumable request: its log, and what happens when its client leaves."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs, web

from proxy.edge.downstream_response import DownstreamResponse
from proxy.edge.stream_errors import LogsUnavailable, NobodyReads, Stopped
from proxy.edge.stream_progress import LengthHistory, MeasuredRequest, StreamProgress
from proxy.record import Family
from proxy.relay.client_writer import ClientWriter
from proxy.relay.recorded_stream import RecordedStream
from proxy.state.aliases import set_alias
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End

if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import CIMultiDict

    from proxy.errors import SluiceError
    from proxy.record import Reader, RequestRecord
    from proxy.relay.watchdog import StreamWatchdog
    from proxy.state.produced_log import ProducedLog
    from proxy.state.stream_logs import StreamLogs

STREAM_ID = "Sluice-Stream-Id"
_CHECK_SECONDS = 0.25
_DETACHED_OPEN_SECONDS = 1.0
"""How long a detached request waits for its log at least: without one it is not what was asked for,
and an EventSource gives up for good."""
_LONGEST_RESPONSE_ID = 200
_NOT_REPLAYED = frozenset({"content-length", "server-timing", "x-request-id", "request-id", "date"})


class RecordedRequest(MeasuredRequest, Protocol):
    """The request whose stream is recorded."""

    response: DownstreamResponse | None
    client: ClientWriter | None


class RecordingHost(Protocol):
    """What all recordings of a worker share."""

    logs: StreamLogs
    history: LengthHistory
    grace_seconds: float | None
    """How long a stream continues without a reader; None: to its end."""
    lost: Callable[[str], None]
    """Called with the reason when a log is lost."""


class Recording:
    """Made for each resumable request; it has a log only if the store accepted one."""

    def __init__(
        self,
        resumables: RecordingHost,
        context: RecordedRequest,
        *,
        detached: bool,
        for_readers: bool = False,
    ) -> None:
        self.detached = detached
        """Whether the request has no client from the start (`Prefer: respond-async`)."""
        self.for_readers = for_readers
        """Whether a detached request exists for its readers only, so that it fails without a log,
        and stops without a reader."""
        self.log: ProducedLog | None = None
        self.opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Resolves to whether there is a log."""
        self.stopped_by: SluiceError | None = None
        self.watchdog: StreamWatchdog | None = None
        self.serving: asyncio.Task[web.StreamResponse] | None = None
        self._resumables = resumables
        self._context = context
        self._stream: RecordedStream | None = None
        self.figures = StreamProgress(context, resumables.history)
        """The stream's progress."""
        self._timer: asyncio.TimerHandle | None = None
        self._without_client = detached

    @property
    def is_kept(self) -> bool:
        """Whether there is a readable log."""
        return self.log is not None and not self.log.lost

    async def begun(self) -> bool:
        """Wait until it is known whether there is a log, and return that."""
        return await asyncio.shield(self.opened)

    async def open(self, owner: str) -> None:
        """Create the log, if the request asks for a stream and the store is available."""
        context, record = self._context, self._context.record
        if not record.wants_stream:
            self._resolve(opened=False)
            return
        header = {
            "owner": owner,
            "family": record.family,
            "route": record.route,
            "model": record.model,
            "request_id": record.request_id,
            # Its figures count from there, too.
            "created": f"{time.time() - (time.monotonic() - record.started_at):.3f}",
            **self.figures.fields(),
        }
        try:
            seconds = _DETACHED_OPEN_SECONDS if self.detached else 0.0
            self.log = await self._resumables.logs.writer.open(header, seconds)
        except StoreUnavailable as error:
            self._resumables.lost(error.reason)
            record.notes["resumable"] = f"lost: {error.reason}"
            if self.for_readers:
                raise LogsUnavailable("The store is unavailable.", retry_after=1.0) from None
            self._resolve(opened=False)
            return
        record.notes["resumable"] = self.log.id
        self.log.stopped = lambda: self.stop(Stopped("The stream was stopped."))
        self.log.gone = self._lost
        self.log.progress = self.figures.fields
        if record.family is Family.RESPONSES:
            self.log.batched = self._add_alias
        if self.detached:
            # There is no client to write to; errors from here on become error events in the log.
            context.client = ClientWriter.gone(time.monotonic())
            context.response = DownstreamResponse(status=200)
            record.status = 202
            if self.for_readers and self._resumables.grace_seconds is not None:
                self._check_later()
        self._resolve(opened=True)

    def stream(self, record: RequestRecord, reader: Reader) -> RecordedStream | None:
        """Return the filter that records events; None without a log."""
        if not self.is_kept:
            return None
        assert self.log is not None
        hides = record.hides_usage
        self._stream = RecordedStream(record.family, reader, self.log, hides_usage=hides)
        return self._stream

    def put_into(self, headers: CIMultiDict[str]) -> None:
        """Add the stream's id to the headers, and keep the headers for readers."""
        self.keep_head(headers)
        if self.is_kept:
            assert self.log is not None
            headers[STREAM_ID] = self.log.id

    def keep_head(self, headers: CIMultiDict[str]) -> None:
        """Keep the headers for readers."""
        if not self.is_kept:
            return
        assert self.log is not None
        kept = {name: value for name, value in headers.items() if name.lower() not in _NOT_REPLAYED}
        self.log.header["head"] = json.dumps(kept)

    def answered(self, headers: CIMultiDict[str], *, is_stream: bool) -> None:
        """Note the upstream's response: drop the log unless it is a stream."""
        if is_stream:
            self.put_into(headers)
        else:
            self.refused()

    def watch_by(self, watchdog: StreamWatchdog) -> None:
        """Set the stream's watchdog, which `stop` ends the stream by."""
        self.watchdog = watchdog
        if self.stopped_by is not None:
            watchdog.stop(self.stopped_by)

    def refused(self) -> None:
        """Drop the log: there is no stream, and no client knows its id."""
        if self.log is not None:
            self._resumables.logs.writer.drop(self.log)
            self.log = None
            self._context.record.notes.pop("resumable", None)

    def client_left(self) -> bool:
        """Note that the client disconnected. Return whether the stream continues for readers."""
        if not self.is_kept or self._context.client is None:
            return False
        assert self.log is not None
        self._context.client.left = True
        self._without_client = True
        self.log.last_read_at = time.monotonic()
        if self._resumables.grace_seconds is not None:
            self._check_later()
        return True

    def stop(self, error: SluiceError) -> None:
        """End the request with this error, at whatever stage it is."""
        if self.stopped_by is not None:
            return
        self.stopped_by = error
        if self.watchdog is not None:
            self.watchdog.stop(error)
        elif self.serving is not None:
            self.serving.cancel()

    def end(self) -> None:
        """End the log, once the request's record is complete."""
        self._resolve(opened=False)
        if self._timer is not None:
            self._timer.cancel()
        log, context = self.log, self._context
        if log is None:
            return
        if context.response is None:
            self.refused()
            return
        record = context.record
        self._resumables.history.add(record, context.tally)
        rest = b"" if self._stream is None else self._stream.rest
        log.header.update(self.figures.fields())
        log.end(
            End(
                str(record.ended_by or ""),
                record.error or context.tally.error,
                whole=context.response.is_whole,
                figures=self.figures.final(),
                events=log.events,
                rest=len(rest),
            ),
            rest,
        )

    def _add_alias(self) -> None:
        """Make the stream findable by the upstream's response id."""
        if self.log is None or not (response_id := self._context.tally.response_id):
            return
        self.log.batched = None
        self.log.header["response_id"] = response_id[:_LONGEST_RESPONSE_ID]
        self.log.commands.append(set_alias(response_id, self.log.id, self._context.record.upstream))

    def _resolve(self, *, opened: bool) -> None:
        if not self.opened.done():
            self.opened.set_result(opened)

    def _check_later(self) -> None:
        """Schedule the next check for readers."""
        self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check_readers)

    def _check_readers(self) -> None:
        grace = self._resumables.grace_seconds
        if self.log is None or grace is None or self.log.ending is not None:
            return
        if self.log.written is not None:
            self.log.last_read_at = time.monotonic()
        if time.monotonic() - self.log.last_read_at >= grace and not self.log.lost:
            self.stop(NobodyReads(f"Nobody read the stream for {grace:g} s."))
            return
        self._check_later()

    def _lost(self) -> None:
        """Note the lost log; stop the stream if nobody can read it any more."""
        assert self.log is not None
        record = self._context.record
        record.notes["resumable"] = f"lost: {self.log.lost}"
        if self._without_client and self.log.written is None and self.log.ending is None:
            self.stop(NobodyReads("The stream has no client, and its log is lost."))


def accepted(recording: Recording, request_id: str) -> web.Response:
    """Build the 202 response to a `Prefer: respond-async` request (RFC 7240, 4.1)."""
    assert recording.log is not None
    location = f"/v1/streams/{recording.log.id}"
    document = {
        "id": recording.log.id,
        "object": "stream",
        "status": "queued",
        "location": location,
    }
    headers = {
        hdrs.LOCATION: location,
        "Preference-Applied": "respond-async",
        STREAM_ID: recording.log.id,
        "X-Request-ID": request_id,
        hdrs.CACHE_CONTROL: "no-store",
    }
    return web.json_response(document, status=202, headers=headers)
