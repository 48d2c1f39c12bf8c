"""One resumable request: its stream's log, and what becomes of it when its client has gone."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs, web

from proxy.edge.downstream_response import DownstreamResponse
from proxy.edge.stream_errors import LogsUnavailable, NobodyReads, Stopped
from proxy.edge.stream_figures import History, MeasuredRequest, StreamFigures
from proxy.record import Family
from proxy.relay.client_writer import ClientWriter
from proxy.relay.recorded import RecordedStream
from proxy.state.aliases import set_alias
from proxy.state.errors import StoreUnavailable
from proxy.state.log_entry import End

if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import CIMultiDict

    from proxy.errors import SluiceError
    from proxy.record import Reader, RequestRecord
    from proxy.relay.watchdog import StreamWatchdog
    from proxy.state.stream_log import StreamLog
    from proxy.state.stream_logs import StreamLogs

STREAM_ID = "Sluice-Stream-Id"
_LOOK_SECONDS = 0.25
_LONGEST_RESPONSE_ID = 200
_NOT_REPLAYED = frozenset({"content-length", "server-timing", "x-request-id", "request-id", "date"})


class RecordedRequest(MeasuredRequest, Protocol):
    """The request whose stream is kept."""

    response: DownstreamResponse | None
    client: ClientWriter | None


class RecordingHost(Protocol):
    """What all recordings of a worker share."""

    logs: StreamLogs
    history: History
    grace_seconds: float | None
    """How long a stream goes on without a reader; None: to its end."""
    lost: Callable[[str], None]
    """Told of a log that could not be kept, and why."""


class Recording:
    """Made for each request that asks for it; there is a log only if the store has given one."""

    def __init__(
        self,
        resumables: RecordingHost,
        context: RecordedRequest,
        *,
        detached: bool,
        for_readers: bool = False,
    ) -> None:
        self.detached = detached
        """Whether it has no client from the start."""
        self.for_readers = for_readers
        """Whether a detached one is made for readers only: without a log, or without a reader for
        a while, there is no use in it."""
        self.log: StreamLog | None = None
        self.opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether there is a log, once that is known."""
        self.stopped_by: SluiceError | None = None
        self.watchdog: StreamWatchdog | None = None
        self.serving: asyncio.Task[web.StreamResponse] | None = None
        self._resumables = resumables
        self._context = context
        self._stream: RecordedStream | None = None
        self.figures = StreamFigures(context, resumables.history)
        """How far its stream is."""
        self._timer: asyncio.TimerHandle | None = None
        self._alone = detached

    @property
    def is_kept(self) -> bool:
        """Whether there is a log that can be read."""
        return self.log is not None and not self.log.lost

    async def begun(self) -> bool:
        """Wait until there is a log, or until it is known that there will be none."""
        return await asyncio.shield(self.opened)

    async def open(self, owner: str) -> None:
        """Begin the log, if this is a stream and the store gives one."""
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
            "created": f"{time.time():.3f}",
            **self.figures.fields(),
        }
        try:
            self.log = await self._resumables.logs.writer.open(header)
        except StoreUnavailable as error:
            self._resumables.lost(error.reason)
            record.notes["resumable"] = f"lost: {error.reason}"
            if self.for_readers:
                raise LogsUnavailable("The store does not answer.", retry_after=1.0) from None
            self._resolve(opened=False)
            return
        record.notes["resumable"] = self.log.id
        self.log.stopped = lambda: self.stop(Stopped("The stream was stopped."))
        self.log.gone = self._lost
        self.log.progress = self.figures.fields
        if record.family is Family.RESPONSES:
            self.log.batched = self._name
        if self.detached:
            # What is written is for nobody; an error after this is one inside the stream.
            context.client = ClientWriter.gone(time.monotonic())
            context.response = DownstreamResponse(status=200)
            record.status = 202
            if self.for_readers and self._resumables.grace_seconds is not None:
                self._watch()
        self._resolve(opened=True)

    def stream(self, record: RequestRecord, reader: Reader) -> RecordedStream | None:
        """What the events pass through; None where they are not kept."""
        if not self.is_kept:
            return None
        assert self.log is not None
        hides = record.hides_usage
        self._stream = RecordedStream(record.family, reader, self.log, hides_usage=hides)
        return self._stream

    def put_into(self, headers: CIMultiDict[str]) -> None:
        """Tell the client the stream's id; what else the head says is kept for those who resume."""
        if not self.is_kept:
            return
        assert self.log is not None
        kept = {name: value for name, value in headers.items() if name.lower() not in _NOT_REPLAYED}
        self.log.header["head"] = json.dumps(kept)
        headers[STREAM_ID] = self.log.id

    def answered(self, headers: CIMultiDict[str], *, is_stream: bool) -> None:
        """The upstream has answered: what came is a stream to resume, or there is none."""
        if is_stream:
            self.put_into(headers)
        else:
            self.refused()

    def watch_by(self, watchdog: StreamWatchdog) -> None:
        """The stream runs, and can be ended in order."""
        self.watchdog = watchdog
        if self.stopped_by is not None:
            watchdog.stop(self.stopped_by)

    def refused(self) -> None:
        """There is no stream, and nobody has been told of one."""
        if self.log is not None:
            self._resumables.logs.writer.drop(self.log)
            self.log = None
            self._context.record.notes.pop("resumable", None)

    def client_left(self) -> bool:
        """The client's connection is gone; whether the stream goes on for whoever resumes it."""
        if not self.is_kept or self._context.client is None:
            return False
        assert self.log is not None
        self._context.client.left = True
        self._alone = True
        self.log.last_read_at = time.monotonic()
        if self._resumables.grace_seconds is not None:
            self._watch()
        return True

    def stop(self, error: SluiceError) -> None:
        """End it with this error, wherever it is."""
        if self.stopped_by is not None:
            return
        self.stopped_by = error
        if self.watchdog is not None:
            self.watchdog.stop(error)
        elif self.serving is not None:
            self.serving.cancel()

    def end(self) -> None:
        """The request has ended, and its record is complete."""
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

    def _name(self) -> None:
        """Let the stream be found by the id that the upstream gave its answer."""
        if self.log is None or not (response_id := self._context.tally.response_id):
            return
        self.log.batched = None
        self.log.header["response_id"] = response_id[:_LONGEST_RESPONSE_ID]
        self.log.commands.append(set_alias(response_id, self.log.id, self._context.record.upstream))

    def _resolve(self, *, opened: bool) -> None:
        if not self.opened.done():
            self.opened.set_result(opened)

    def _watch(self) -> None:
        """Look now and then whether anybody reads."""
        self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        grace = self._resumables.grace_seconds
        if self.log is None or grace is None or self.log.ending is not None:
            return
        if self.log.written is not None:
            self.log.last_read_at = time.monotonic()
        if time.monotonic() - self.log.last_read_at >= grace and not self.log.lost:
            self.stop(NobodyReads(f"Nobody read the stream for {grace:g} s."))
            return
        self._watch()

    def _lost(self) -> None:
        """The log is lost: from here on it is a stream like any other."""
        assert self.log is not None
        record = self._context.record
        record.notes["resumable"] = f"lost: {self.log.lost}"
        if self._alone and self.log.written is None and self.log.ending is None:
            self.stop(NobodyReads("Nobody can read the stream any more."))


def accepted(recording: Recording, request_id: str) -> web.Response:
    """The answer to a request whose stream is made whether or not anybody reads (RFC 7240, 4.1)."""
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
