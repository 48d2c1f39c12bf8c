"""What one reader of a log is sent: the events that it has not seen, and an end that is true."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.edge.downstream_response import DownstreamResponse
from proxy.edge.replay import Replay, View, with_id
from proxy.record import EndedBy, Family, RequestRecord
from proxy.relay.client_writer import BUFFERED_BYTES, ClientWriter
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End, EntryId
from proxy.state.log_reader import Events, LogGone, LogTrimmed
from proxy.state.stream_logs import LogState
from tests.relay.peers import FakeTransport

if TYPE_CHECKING:
    from collections.abc import Callable

STREAM = "5" * 32
ONE, TWO, THREE = (f"data: {number}\n\n".encode() for number in (1, 2, 3))
COMPLETE = End("complete", whole=True, events=2)


class Reader:
    """Gives its script's steps in turn: events, nothing for a while, or an exception."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)

    async def next(self, _seconds: float) -> Events | None:
        await asyncio.sleep(0)
        step = self.script.pop(0)
        if callable(step):
            step()
            return None
        if isinstance(step, Exception):
            raise step
        return cast("Events | None", step)


class World:
    """One reader's request, its client, and the worker around them."""

    def __init__(self, *, stuck: bool = False, slow: float = 0.01, ping: float = 3600.0) -> None:
        self.transport = FakeTransport(stuck=stuck)
        self.aborted = False
        self.resumables = SimpleNamespace(closing=False)
        self.state = SimpleNamespace(
            timeouts=SimpleNamespace(ping=ping),
            settings=SimpleNamespace(slow_client_timeout_seconds=slow),
            resumables=self.resumables,
        )
        self.record = RequestRecord("req-1", "GET", "/v1/streams/{id}", Family.UNKNOWN, 0.0)
        self.request = make_mocked_request("GET", "/", transport=cast("Any", self))
        self.head: dict[str, str] = {}
        self.client: ClientWriter | None = None

    def abort(self) -> None:
        """The connection is closed at once."""
        self.aborted = True

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False

    async def commit(self, downstream: DownstreamResponse, first: bytes) -> ClientWriter:
        self.head = dict(downstream.headers)
        self.client = ClientWriter(self.transport, self.transport, chunked=False, now=0.0)
        self.client.write(first, 0.0)
        return self.client

    def replay_of(self, log: LogState, view: View, progress: Callable[[], Any]) -> Replay:
        """What sends this log to the client."""

        async def progress_of() -> Any:
            return progress()

        return Replay(cast("Any", self.state), cast("Any", self), log, view, progress_of)

    async def replay(
        self,
        *script: Any,
        log: LogState | None = None,
        view: View | None = None,
        progress: Callable[[], Any] = lambda: None,
    ) -> bool:
        """Send what the reader gives; whether the body has a clean end."""
        replay = self.replay_of(log or state_of(), view or View(), progress)
        downstream = await asyncio.wait_for(replay.run(cast("Any", Reader(*script))), 20)
        return downstream.is_whole

    @property
    def sent(self) -> bytes:
        return self.transport.text

    @property
    def ended(self) -> tuple[Any, str]:
        """What the log line says of the end."""
        return self.record.ended_by, self.record.error


def state_of(end: End | None = None, **header: str) -> LogState:
    """What is known of the log as the reader comes."""
    fields = {"family": "chat", "request_id": "first", **header}
    if end is not None:
        fields["ended"] = end.encoded()
    return LogState(STREAM, fields, 1, EntryId(2))


def of(*events: bytes, first: int = 1) -> Events:
    return Events(first, events)


def ended(end: End, tail: bytes = b"") -> Events:
    return Events(3, (), end, tail)


async def test_the_events_and_the_end_of_a_whole_stream() -> None:
    """Byte for byte as its first client had them, with the same clean end."""
    world = World()
    assert await world.replay(of(ONE), None, of(TWO, first=2), ended(COMPLETE))
    assert world.sent == ONE + TWO
    assert world.ended == (EndedBy.COMPLETE, "")


async def test_a_stream_that_was_cut_looks_cut_again() -> None:
    """With the bytes of the event that never became whole, and without a clean end."""
    world = World()
    cut = End("upstream_cut", "upstream_cut")
    assert not await world.replay(of(ONE), ended(cut, b"data: ha"))
    assert world.sent == ONE + b"data: ha"
    assert world.ended == (EndedBy.UPSTREAM_CUT, "upstream_cut")


async def test_an_end_without_a_reason() -> None:
    """Its producer failed before it knew one."""
    world = World()
    await world.replay(ended(End("")))
    assert world.ended == (EndedBy.FAILED, "")


@pytest.mark.parametrize(
    ("end", "details"),
    [
        (COMPLETE, {"ended_by": "complete"}),
        (
            End("upstream_cut", "upstream_cut", events=2),
            {"ended_by": "upstream_cut"} | {"error": "upstream_cut"},
        ),
    ],
)
async def test_a_browser_is_told_of_the_end_in_an_event(end: End, details: dict[str, str]) -> None:
    """Its reader wants a clean end, whatever became of the stream, or it would ask again."""
    world = World()
    view = View(ids=True, opening=b"retry: 1\n\n")
    assert await world.replay(of(TWO, first=2), ended(end), view=view)
    assert world.sent.startswith(b"retry: 1\n\ndata: 2\nid: " + STREAM.encode() + b":2\n\n")
    done = world.sent.split(b"\n\n")[-2].decode().split("\n")
    assert done[:2] == ["event: done", f"id: {STREAM}:2"]
    assert json.loads(done[2].removeprefix("data: ")) == details


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"data: 1\n\n", b"data: 1\nid: s:1\n\n"),
        (b"data: 1\r\n\r\n", b"data: 1\r\nid: s:1\r\n\r\n"),
        (b"data: 1\r\r", b"data: 1\rid: s:1\r\r"),
        (b"data: 1\n\r\n", b"data: 1\nid: s:1\n\n"),
        (b": c\n\ndata: 1\n\n", b": c\n\ndata: 1\nid: s:1\n\n"),
    ],
)
def test_an_event_gets_its_id(event: bytes, expected: bytes) -> None:
    """Before the line that ends it, with that line's own end, and after the comments before it."""
    assert with_id(event, "s:1") == expected


def numbered(*numbers: int) -> bytes:
    """What the store holds as one event may be several to a client of the Responses API."""
    return b"".join(b'data: {"sequence_number": %d}\n\n' % number for number in numbers)


async def test_from_a_sequence_number_on() -> None:
    """What comes after it, and from there on everything, numbers or not."""
    world = World()
    events = [numbered(3), numbered(4), numbered(5), ONE, numbered(1)]
    batches = [of(*events[:3]), of(*events[3:])]
    await world.replay(*batches, ended(COMPLETE), view=View(sequence_after=4))
    assert world.sent == numbered(5) + ONE + numbered(1)


async def test_nothing_is_above_the_last_number() -> None:
    """Then the end comes alone; an event without a number is none that was asked for."""
    world = World()
    batch = of(numbered(3), ONE)
    assert await world.replay(batch, ended(COMPLETE), view=View(sequence_after=3))
    assert world.sent == b""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LogTrimmed(), "events_gone"),
        (LogGone(), "log_lost"),
        (StoreUnavailable("timeout"), "streams_unavailable"),
    ],
)
async def test_a_log_that_cannot_be_read_on(error: Exception, code: str) -> None:
    """The reader is told so in the stream's own shape, and the body looks cut."""
    world = World()
    assert not await world.replay(of(ONE), error)
    document = json.loads(world.sent.removeprefix(ONE + b"data: "))
    assert document["error"]["code"] == code
    assert world.ended == (EndedBy.FAILED, code)


async def test_a_browser_whose_log_cannot_be_read_on() -> None:
    """It is told of the end in an event without an id: its cursor must not move."""
    world = World()
    assert await world.replay(of(ONE), LogGone(), view=View(ids=True))
    done = world.sent.split(b"\n\n")[-2].decode().split("\n")
    assert done[0] == "event: done"
    assert json.loads(done[1].removeprefix("data: ")) == {"ended_by": "failed", "error": "log_lost"}


async def test_the_error_follows_on_the_last_event_that_was_sent() -> None:
    """A client of the Responses API checks the numbers."""
    world = World()
    await world.replay(of(numbered(7)), of(), LogGone(), log=state_of(family="responses"))
    assert b'"sequence_number":8' in world.sent.replace(b'": ', b'":')


async def test_a_worker_that_stops_sends_its_readers_elsewhere() -> None:
    """Without an error, for the stream goes on, and without a clean end: they are to come again."""
    world = World()

    def close() -> None:
        world.resumables.closing = True

    assert not await world.replay(of(ONE), close, view=View(ids=True))
    assert world.sent == ONE.replace(b"\n\n", f"\nid: {STREAM}:1\n\n".encode())
    assert world.ended == (EndedBy.DRAINED, "gateway_stopped")


@pytest.mark.parametrize(
    ("family", "ping"), [("chat", b": ping\n\n"), ("messages", b": ping\n\n"), ("nonsense", b": ")]
)
async def test_a_stream_that_is_silent(family: str, ping: bytes) -> None:
    """Pings keep the connection, and none of them is an event that a cursor counts."""
    world = World(ping=0.0)
    await world.replay(None, of(ONE), ended(COMPLETE), log=state_of(family=family))
    assert world.sent.startswith(ping)
    assert world.sent.count(b"data:") == 1


async def test_no_ping_before_its_time() -> None:
    """Events are as good as pings."""
    world = World(ping=1e9)
    await world.replay(of(ONE), None, None, ended(COMPLETE))
    assert world.sent == ONE


async def test_a_reader_that_takes_nothing() -> None:
    """It is cut off after the time for slow clients, and the log is read no further for it."""
    world = World(stuck=True)
    large = b"data: " + b"x" * BUFFERED_BYTES + b"\n\n"
    assert not await world.replay(of(large), AssertionError("it was read on"))
    assert world.aborted
    assert world.ended == (EndedBy.SLOW_CLIENT, "slow_client")


async def test_a_reader_that_is_waited_for() -> None:
    """As long as it takes where no time is set."""
    world = World(stuck=True, slow=0.0)
    large = b"data: " + b"x" * BUFFERED_BYTES + b"\n\n"
    asyncio.get_running_loop().call_later(0.02, world.transport.take_all)
    assert await world.replay(of(large), ended(COMPLETE))
    assert not world.aborted


async def test_the_time_for_a_slow_reader_begins_anew() -> None:
    """With each wait; between two of them no time runs, however long the stream is silent."""
    world = World(stuck=True, slow=20.0)
    client = await world.commit(DownstreamResponse(), b"x")
    asyncio.get_running_loop().call_soon(world.transport.take_all)
    async with asyncio.timeout(None) as limit:
        await world.replay_of(state_of(), View(), lambda: None)._drain(client, limit)
        assert limit.when() is None


async def test_the_head_is_that_of_the_first_answer() -> None:
    """With what keeps proxies from holding events back, and the ids of this request."""
    head = json.dumps({"Content-Type": "text/x-own", "X-Own": "1", "X-Accel-Buffering": "yes"})
    world = World()
    await world.replay(ended(COMPLETE), log=state_of(head=head))
    assert world.head["Content-Type"] == "text/x-own"
    assert world.head["X-Own"] == "1"
    assert world.head["X-Accel-Buffering"] == "no"
    assert world.head["X-Request-ID"] == "req-1"
    assert world.head["Sluice-Stream-Id"] == STREAM
    assert "Sluice-Ended-By" not in world.head


@pytest.mark.parametrize("head", [{}, {"head": "no json"}])
async def test_a_log_without_a_head(head: dict[str, str]) -> None:
    """A detached stream may be read before its upstream has answered."""
    world = World()
    await world.replay(ended(COMPLETE), log=state_of(COMPLETE, **head))
    assert world.head["Content-Type"] == "text/event-stream; charset=utf-8"
    assert world.head["Sluice-Ended-By"] == "complete"


async def test_progress_between_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as is useful; a producer that says nothing is no error; 100 comes with the end."""
    monkeypatch.setattr("proxy.edge.replay.FRAME_SECONDS", 0.0)
    world, reports = World(), iter([{"stage": "generating", "percent": 40.0}, None, None])
    end = End("complete", whole=True, figures={"tokens": 5})
    view = View(progress=True)
    await world.replay(of(ONE), None, ended(end), view=view, progress=lambda: next(reports))
    frames = [event for event in world.sent.split(b"\n\n") if event.startswith(b"event: progress")]
    first, last = (json.loads(frame.partition(b"data: ")[2]) for frame in frames)
    assert first["percent"] == 40
    assert (last["stage"], last["percent"], last["tokens"]) == ("ended", 100, 5)
    assert world.sent.index(ONE) > world.sent.index(frames[0])


async def test_progress_is_not_asked_for_at_each_event() -> None:
    """A fast stream must not become one of frames."""
    asked: list[int] = []
    world = World()
    events = [of(ONE, first=number) for number in range(1, 20)]
    view = View(progress=True)
    await world.replay(*events, ended(COMPLETE), view=view, progress=lambda: asked.append(1))
    assert len(asked) == 1
