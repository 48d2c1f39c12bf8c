"""One resumable request: what its log is told, and when its stream ends without a client."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from multidict import CIMultiDict

from proxy.edge.downstream_response import DownstreamResponse
from proxy.edge.recording import Recording, accepted
from proxy.edge.stream_errors import LogsUnavailable, NobodyReads, Stopped
from proxy.edge.stream_progress import LengthHistory
from proxy.meter.stream_reader import reader_for
from proxy.meter.tally import Tally
from proxy.record import EndedBy, Family, RequestRecord
from proxy.relay.client_writer import ClientWriter
from proxy.state.aliases import set_alias
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End, Entry
from proxy.state.produced_log import ProducedLog
from tests.relay.peers import FakeTransport
from tests.state.test_produced_log import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.errors import SluiceError

STOP = Stopped("The stream was stopped.")


class Writer:
    """Gives logs, or says why it gives none."""

    def __init__(self, refusal: StoreUnavailable | None = None) -> None:
        self.refusal = refusal
        self.headers: list[Mapping[str, Any]] = []
        self.dropped: list[ProducedLog] = []
        self.waited_for = 0.0

    async def open(self, header: Mapping[str, Any], seconds: float) -> ProducedLog:
        self.waited_for = seconds
        if self.refusal is not None:
            raise self.refusal
        self.headers.append(header)
        return ProducedLog(Owner(), "5" * 32, 10**6)

    def drop(self, log: ProducedLog) -> None:
        self.dropped.append(log)


class Host:
    """What all recordings of a worker share."""

    def __init__(self, refusal: StoreUnavailable | None, grace_seconds: float | None) -> None:
        self.writer = Writer(refusal)
        self.logs = cast("Any", SimpleNamespace(writer=self.writer))
        self.history = LengthHistory()
        self.grace_seconds = grace_seconds
        self.reasons: list[str] = []
        self.lost = self.reasons.append


class Asking:
    """The request whose stream is kept."""

    def __init__(self, family: Family = Family.CHAT) -> None:
        self.record = RequestRecord("req-1", "POST", "/v1/x", family, started_at=0.0)
        self.record.wants_stream, self.record.model = True, "m"
        self.tally = Tally()
        self.max_output = 0
        self.response: DownstreamResponse | None = None
        self.client: ClientWriter | None = None

    def queue_position(self) -> int:
        return 0

    def commit(self) -> ClientWriter:
        """The status has been sent, and somebody reads."""
        transport = FakeTransport()
        self.response = DownstreamResponse(status=200)
        self.client = ClientWriter(transport, transport, chunked=False, now=0.0)
        return self.client


class Watchdog:
    """Remembers what it was told to stop with."""

    def __init__(self) -> None:
        self.errors: list[SluiceError] = []

    def stop(self, error: SluiceError) -> None:
        self.errors.append(error)


class Kept:
    """A recording with all that is around it."""

    def __init__(
        self,
        *,
        family: Family = Family.CHAT,
        refusal: StoreUnavailable | None = None,
        grace_seconds: float | None = 5.0,
        detached: bool = False,
        for_readers: bool = False,
    ) -> None:
        self.host, self.context = Host(refusal, grace_seconds), Asking(family)
        self.recording = Recording(
            self.host, self.context, detached=detached, for_readers=for_readers
        )
        self.watchdog = Watchdog()

    async def open(self) -> ProducedLog:
        """It has a log, and its stream runs."""
        await self.recording.open("me")
        self.recording.watch_by(cast("Any", self.watchdog))
        assert self.recording.log is not None
        return self.recording.log

    @property
    def noted(self) -> Any:
        """What the log line says of it."""
        return self.context.record.notes.get("resumable")


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.recording._CHECK_SECONDS", 0.0)


async def some_looks() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("detached", "seconds"), [(False, 0.0), (True, 1.0)])
async def test_how_long_the_store_is_waited_for(detached: bool, seconds: float) -> None:
    """As the setting says; for a second where the request is nothing without a log."""
    kept = Kept(detached=detached)
    await kept.open()
    assert kept.host.writer.waited_for == seconds
    kept.recording.end()


async def test_the_log_says_whose_it_is_and_of_what() -> None:
    """Before the stream has begun, so that nobody else can read it."""
    kept = Kept()
    log = await kept.open()
    [header] = kept.host.writer.headers
    fields = {name: header[name] for name in ("owner", "family", "route", "model", "request_id")}
    assert fields == {
        "owner": "me",
        "family": "chat",
        "route": "/v1/x",
        "model": "m",
        "request_id": "req-1",
    }
    assert json.loads(header["progress"])["stage"] == "queued"
    # The request began when the machine's clock was 0, as the figures' seconds count.
    assert abs(float(header["created"]) - (time.time() - time.monotonic())) < 60
    assert await kept.recording.begun()
    assert kept.noted == log.id


async def test_what_is_no_stream_gets_no_log() -> None:
    """And who waits to hear of one does not wait for ever."""
    kept = Kept()
    kept.context.record.wants_stream = False
    await kept.recording.open("me")
    assert not await kept.recording.begun()
    assert (kept.host.writer.headers, kept.recording.log) == ([], None)


async def test_a_store_that_gives_no_log() -> None:
    """The answer goes its usual way without one, and says so in its log line."""
    kept = Kept(refusal=StoreUnavailable("full"))
    await kept.recording.open("me")
    assert not await kept.recording.begun()
    assert (kept.host.reasons, kept.noted) == (["full"], "lost: full")
    headers: CIMultiDict[str] = CIMultiDict()
    kept.recording.answered(headers, is_stream=True)
    assert not headers
    assert kept.recording.stream(kept.context.record, reader_for(Family.CHAT)) is None
    kept.context.commit()
    kept.recording.end()


async def test_an_answer_that_only_readers_can_have_needs_a_log() -> None:
    """Without one it is refused before anything is asked, and billed."""
    kept = Kept(refusal=StoreUnavailable("full"), detached=True, for_readers=True)
    with pytest.raises(LogsUnavailable):
        await kept.recording.open("me")


async def test_a_detached_answer_is_made_for_its_log_alone() -> None:
    """It has a response from the start, nobody to write to, and 202 in its log line."""
    kept = Kept(detached=True)
    await kept.open()
    assert kept.context.client is not None
    assert kept.context.client.left
    assert kept.context.response is not None
    assert kept.context.record.status == 202


async def test_the_client_is_told_the_streams_id() -> None:
    """What else the head says is kept for those who resume, but for what is of this answer only."""
    kept = Kept()
    log = await kept.open()
    head = {"Content-Type": "text/event-stream", "X-Own": "1"}
    of_this_answer = {"X-Request-ID": "req-1", "Date": "today", "Server-Timing": "a"}
    headers = CIMultiDict({**head, **of_this_answer})
    kept.recording.answered(headers, is_stream=True)
    assert headers["Sluice-Stream-Id"] == log.id
    assert json.loads(log.header["head"]) == head


async def test_an_answer_that_is_no_stream_has_no_log() -> None:
    """What was begun is taken back, and nobody hears of it."""
    kept = Kept()
    log = await kept.open()
    headers: CIMultiDict[str] = CIMultiDict()
    kept.recording.answered(headers, is_stream=False)
    assert (dict(headers), kept.host.writer.dropped, kept.noted) == ({}, [log], None)
    kept.recording.end()
    assert kept.host.writer.dropped == [log]


async def test_a_request_that_was_refused_has_no_log() -> None:
    """No status was sent: there is no stream that anybody could resume."""
    kept = Kept()
    log = await kept.open()
    kept.recording.end()
    assert kept.host.writer.dropped == [log]
    assert log.ending is None


async def test_every_event_goes_to_the_log() -> None:
    """With what came after the last of them, and how it ended."""
    kept = Kept()
    log = await kept.open()
    kept.context.commit()
    stream = kept.recording.stream(kept.context.record, reader_for(Family.CHAT))
    assert stream is not None
    stream.feed(b"data: {}\n\ndata: h", 0.0)
    kept.context.record.ended_by, kept.context.record.error = EndedBy.UPSTREAM_CUT, "upstream_cut"
    kept.recording.end()
    assert log.ending is not None
    end = log.ending.end
    assert end is not None
    assert (end.ended_by, end.error, end.whole) == ("upstream_cut", "upstream_cut", False)
    assert (end.events, end.rest, log.ending.tail) == (1, 7, b"data: h")


async def test_a_whole_answer_has_a_whole_end() -> None:
    """Its readers get the same clean end, and its figures."""
    kept = Kept()
    log = await kept.open()
    kept.context.commit()
    assert kept.context.response is not None
    kept.context.response._whole = True
    kept.context.record.ended_by, kept.context.record.ended_at = EndedBy.COMPLETE, 3.0
    kept.recording.end()
    assert log.ending is not None
    assert log.ending.end is not None
    assert (log.ending.end.ended_by, log.ending.end.whole) == ("complete", True)
    assert log.ending.end.figures["elapsed_seconds"] == 3.0
    assert json.loads(log.header["progress"])["stage"] == "ended"


async def test_an_error_inside_the_stream_is_its_end() -> None:
    """Where Sluice has none of its own to tell."""
    kept = Kept()
    log = await kept.open()
    kept.context.commit()
    kept.context.tally.error = "overloaded_error"
    kept.recording.end()
    assert log.ending is not None
    assert log.ending.end is not None
    assert log.ending.end.error == "overloaded_error"


async def test_a_client_that_leaves_a_kept_stream() -> None:
    """It goes on for whoever resumes it, and for the grace time at least."""
    kept = Kept()
    log = await kept.open()
    client = kept.context.commit()
    log.last_read_at = 0.0
    assert kept.recording.client_left()
    assert client.left
    await some_looks()
    assert kept.watchdog.errors == []
    log.last_read_at -= 6.0
    await some_looks()
    [error] = kept.watchdog.errors
    assert isinstance(error, NobodyReads)


@pytest.mark.parametrize("lost", [True, False])
async def test_a_client_that_leaves_what_nobody_can_resume(lost: bool) -> None:
    """Its log is lost, or its answer had not begun, so that it knows no id to resume it by."""
    kept = Kept()
    log = await kept.open()
    if lost:
        kept.context.commit()
        log.give_up("full")
    assert not kept.recording.client_left()


async def test_who_reads_keeps_the_stream() -> None:
    """Wherever: the producer's own worker needs no word from the store."""
    kept = Kept()
    log = await kept.open()
    kept.context.commit()
    kept.recording.client_left()
    log.written = lambda _entry: None
    log.last_read_at -= 1000
    await some_looks()
    assert kept.watchdog.errors == []
    assert time.monotonic() - log.last_read_at < 500


async def test_a_stream_that_is_to_run_to_its_end() -> None:
    """`SLUICE_ON_CLIENT_LEFT=drain`: nobody has to read."""
    kept = Kept(grace_seconds=None)
    log = await kept.open()
    kept.context.commit()
    assert kept.recording.client_left()
    log.last_read_at -= 1000
    await some_looks()
    assert kept.watchdog.errors == []


@pytest.mark.parametrize(("for_readers", "stopped"), [(True, 1), (False, 0)])
async def test_a_detached_answer_without_a_reader(for_readers: bool, stopped: int) -> None:
    """One that was asked for as such is made all the same; a browser's question is given up."""
    kept = Kept(detached=True, for_readers=for_readers)
    log = await kept.open()
    log.last_read_at -= 1000
    await some_looks()
    assert len(kept.watchdog.errors) == stopped


async def test_nobody_reads_an_answer_that_has_ended() -> None:
    """There is nothing left to stop."""
    kept = Kept()
    log = await kept.open()
    kept.context.commit()
    kept.recording.client_left()
    log.end(End("complete"))
    log.last_read_at -= 1000
    await some_looks()
    assert kept.watchdog.errors == []


async def test_a_stream_is_stopped_wherever_it_is() -> None:
    """Where it runs, by its watchdog; before that, when it begins to; and once."""
    kept = Kept()
    log = await kept.open()
    assert log.stopped is not None
    log.stopped()
    kept.recording.stop(STOP)
    assert [error.fault.code for error in kept.watchdog.errors] == ["stopped"]
    early = Kept()
    early.recording.stop(STOP)
    await early.open()
    assert early.watchdog.errors == [STOP]


async def test_a_stream_that_waits_for_its_upstream_is_stopped() -> None:
    """The request is cancelled, and knows with which error to answer."""
    kept = Kept()
    await kept.recording.open("me")
    kept.recording.serving = serving = asyncio.create_task(asyncio.Event().wait())  # type: ignore[assignment]
    kept.recording.stop(STOP)
    await asyncio.wait([serving])
    assert serving.cancelled()
    assert kept.recording.stopped_by is STOP


@pytest.mark.parametrize(
    ("alone", "read_here", "ended", "stopped"),
    [
        (True, False, False, 1),
        (False, False, False, 0),
        (True, True, False, 0),
        (True, False, True, 0),
    ],
)
async def test_a_log_that_is_lost(alone: bool, read_here: bool, ended: bool, stopped: int) -> None:
    """The stream goes on for whom it reaches; one that reaches nobody any more is stopped."""
    kept = Kept(grace_seconds=None)
    log = await kept.open()
    kept.context.commit()
    if alone:
        kept.recording.client_left()
    handed: list[Entry] = []
    if read_here:
        log.written = handed.append
    if ended:
        log.end(End("complete"))
    log.give_up("full")
    assert len(kept.watchdog.errors) == stopped
    assert kept.noted == "lost: full"
    assert not kept.recording.is_kept


async def test_a_response_is_found_by_the_id_that_the_upstream_gave_it() -> None:
    """As soon as it is known, and once."""
    kept = Kept(family=Family.RESPONSES)
    log = await kept.open()
    kept.context.record.upstream = "west"
    log.add(b"event")
    log.take()
    assert log.commands == []
    kept.context.tally.response_id = "resp_1"
    for _ in range(2):
        log.add(b"event")
        log.take()
    assert log.commands == [set_alias("resp_1", log.id, "west")]
    assert log.header["response_id"] == "resp_1"


async def test_how_long_answers_are_is_remembered() -> None:
    """For the percentages of those to come."""
    kept = Kept()
    kept.context.tally.counted, kept.context.tally.finishing = 100, True
    for _ in range(5):
        await kept.open()
        kept.context.commit()
        kept.recording.end()
    assert kept.host.history.expected("m") == 100


async def test_where_a_detached_answer_is_to_be_found() -> None:
    """202 with its place, and no cache between keeps it (RFC 7240, 4.1)."""
    kept = Kept(detached=True)
    log = await kept.open()
    answer = accepted(kept.recording, "req-1")
    assert answer.status == 202
    assert answer.headers["Location"] == f"/v1/streams/{log.id}"
    assert answer.headers["Sluice-Stream-Id"] == log.id
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-ID"] == "req-1"
    assert isinstance(answer.body, bytes)
    document = json.loads(answer.body)
    assert (document["id"], document["status"]) == (log.id, "queued")
