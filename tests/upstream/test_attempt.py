"""One attempt: its timeouts, the check of its first event, and what it leaves behind."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy import errors
from tests.upstream.kit import (
    GOOD,
    OVERLOADED,
    ask,
    call,
    enough,
    new_record,
    opened,
    overload_in,
    whole,
)
from tests.upstream.peer import (
    DEADLINE,
    EVENTS,
    LAST_CHUNK,
    Connection,
    Peer,
    chunk,
    plain,
    says,
    serves,
)


async def test_a_stream_is_handed_out_with_its_first_event() -> None:
    """The first bytes are read, the rest is left to the reader, and the times are recorded."""
    record = new_record()
    async with Peer(says(GOOD)) as peer, opened(peer) as upstreams:
        response = await ask(upstreams, record=record)
        assert response.first == b"data: 1\n\n"
        assert await whole(response) == b"data: 1\n\n"
    assert (record.attempts, record.upstream, record.upstream_status) == (1, "default", 200)
    times = [
        record.started_at,
        record.called_at,
        record.connected_at,
        record.headers_at,
        record.first_byte_at,
    ]
    assert None not in times
    assert times == sorted(times)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("answer", "first"),
    [(plain(b"ok"), b"ok"), (plain(b""), b""), (b"HTTP/1.1 204 No Content\r\n\r\n", b"")],
)
async def test_what_came_with_the_head_is_at_hand(answer: bytes, first: bytes) -> None:
    """A plain body is not waited for, but what of it is there can leave with the head."""
    async with Peer(serves(answer)) as peer, opened(peer) as upstreams:
        handed_out = await ask(upstreams)
        assert handed_out.first == first
        assert await whole(handed_out) == first


async def test_a_comment_does_not_decide() -> None:
    """The check gets all bytes so far until they suffice, and none of them is lost."""
    parts = [chunk(b": ping\n\n"), chunk(b"data: "), chunk(b"1\n\n"), LAST_CHUNK]
    async with Peer(says(EVENTS, *parts)) as peer, opened(peer) as upstreams:
        assert await whole(await ask(upstreams)) == b": ping\n\ndata: 1\n\n"


async def test_an_empty_event_stream_is_no_answer() -> None:
    """A 200 whose stream ends before its first event has a true status instead."""
    for body in (LAST_CHUNK, chunk(b": ping\n\n") + LAST_CHUNK):
        async with Peer(says(EVENTS + body)) as peer, opened(peer) as upstreams:
            with pytest.raises(errors.UpstreamInvalid):
                await ask(upstreams)
            assert len(peer.heads) == 1


async def test_a_stream_cut_before_its_first_event_is_an_error() -> None:
    """Nothing has left for the client yet, so it gets a true status."""
    async with Peer(says(EVENTS, b"20\r\ndata: ", then="close")) as peer, opened(peer) as upstreams:
        with pytest.raises(errors.UpstreamCut):
            await ask(upstreams)


@pytest.mark.parametrize("parts", [[], [EVENTS], [EVENTS, chunk(b": ping\n\n")]])
async def test_a_silent_upstream_meets_the_first_token_clock(parts: list[bytes]) -> None:
    """It runs from the request sent to the first event, and pings do not stop it."""
    left: list[float] = []

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(*parts)
        left.append(await connection.left())

    async with (
        Peer(script) as peer,
        opened(peer, first_token_timeout_seconds=0.2) as upstreams,
    ):
        began = time.monotonic()
        with pytest.raises(errors.FirstTokenTimeout, match=r"sent nothing for 0\.2 s"):
            await ask(upstreams)
        assert 0.2 <= time.monotonic() - began < DEADLINE
        await peer.all_closed()
        assert len(peer.heads) == 1, "a silent upstream is not asked twice"


async def test_the_first_token_clock_waits_for_the_request() -> None:
    """A body that takes long to leave does not count as the upstream's silence."""

    async def script(connection: Connection) -> None:
        await connection._reader.readuntil(b"\r\n\r\n")
        connection._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(1.2)
        connection._writer.transport.resume_reading()  # type: ignore[attr-defined]
        await connection._reader.readexactly(16_000_000)
        await connection.say(GOOD)
        await connection.left()

    async with (
        Peer(script) as peer,
        opened(peer, first_token_timeout_seconds=1) as upstreams,
    ):
        record = new_record()
        response = await ask(upstreams, call(body=b"x" * 16_000_000), record)
        assert await whole(response) == b"data: 1\n\n"
        assert record.called_at is not None
        assert record.connected_at is not None
        assert record.connected_at - record.called_at >= 1.2


async def test_an_answer_before_the_request_has_left_is_taken() -> None:
    """An upstream may refuse a body that it has not read; the wait is over then."""

    async def script(connection: Connection) -> None:
        await connection._reader.readuntil(b"\r\n\r\n")
        connection._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.say(plain(b"no", "413 Content Too Large"))
        await closed.wait()
        connection._writer.transport.resume_reading()  # type: ignore[attr-defined]
        await connection.left()

    closed = asyncio.Event()
    async with Peer(script) as peer, opened(peer, first_token_timeout_seconds=5) as upstreams:
        response = await ask(upstreams, call(body=b"x" * 16_000_000))
        assert response.status == 413
        await whole(response)
        closed.set()
        await peer.all_closed()


async def test_a_request_may_go_on_leaving_while_its_answer_comes() -> None:
    """A stream that begins before the body has been read is neither cut nor clocked again."""
    began = asyncio.Event()
    body = b"x" * 16_000_000

    async def script(connection: Connection) -> None:
        await connection._reader.readuntil(b"\r\n\r\n")
        connection._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await connection.say(EVENTS, chunk(b"data: 1\n\n"))
        await began.wait()
        connection._writer.transport.resume_reading()  # type: ignore[attr-defined]
        await connection._reader.readexactly(len(body))
        await connection.say(chunk(b"data: 2\n\n"), LAST_CHUNK)
        await connection.left()

    async with Peer(script) as peer, opened(peer, first_token_timeout_seconds=5) as upstreams:
        response = await ask(upstreams, call(body=body))
        began.set()
        assert await whole(response) == b"data: 1\n\ndata: 2\n\n"
        assert upstreams.connections() == (0, 1), "the connection is as good as before"


@pytest.mark.parametrize(
    ("parts", "reached"),
    [
        ([], "connected_at"),
        ([EVENTS], "headers_at"),
        ([EVENTS, chunk(b": ping\n\n")], "first_byte_at"),
    ],
)
async def test_a_caller_that_leaves_ends_the_call(parts: list[bytes], reached: str) -> None:
    """Wherever the attempt is, its connection is closed within 100 ms."""
    left: list[float] = []

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(*parts)
        left.append(await connection.left())

    delays = []
    async with Peer(script) as peer, opened(peer) as upstreams:
        # The best of three: the machine may be busy with something else.
        for _ in range(3):
            record = new_record()
            task = asyncio.create_task(ask(upstreams, record=record))
            async with asyncio.timeout(DEADLINE):
                while getattr(record, reached) is None:
                    await asyncio.sleep(0.001)
            cancelled = asyncio.get_running_loop().time()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await peer.all_closed()
            delays.append(left[-1] - cancelled)
        assert upstreams.status()[0]["failures_in_a_row"] == 0, "a client that left blames nobody"
    assert min(delays) < 0.1


async def test_a_stream_is_not_judged_after_the_commit() -> None:
    """The upstream's own words go out as they are: there is no other status to give."""
    record = new_record()
    record.committed_at = time.monotonic()
    async with Peer(serves(OVERLOADED, GOOD)) as peer, opened(peer) as upstreams:
        assert b"overloaded" in await whole(await ask(upstreams, record=record))


async def test_an_old_connection_that_closes_costs_no_attempt() -> None:
    """A pooled connection that dies as the call goes out is replaced, and nobody is blamed."""

    async def once(connection: Connection) -> None:
        await connection.request()
        await connection.say(GOOD)
        await connection.request()

    async with Peer(once, says(GOOD)) as peer, opened(peer) as upstreams:
        await whole(await ask(upstreams))
        record = new_record()
        assert await whole(await ask(upstreams, record=record)) == b"data: 1\n\n"
        assert record.attempts == 1
        assert upstreams.status()[0]["failures_in_a_row"] == 0


async def test_without_retries_a_post_is_never_sent_twice() -> None:
    """SLUICE_RETRIES 0 holds even for an old connection that closes."""

    async def once(connection: Connection) -> None:
        await connection.request()
        await connection.say(GOOD)
        await connection.request()

    async with Peer(once, serves(GOOD)) as peer, opened(peer, retries=0) as upstreams:
        await whole(await ask(upstreams))
        with pytest.raises(errors.UpstreamReset):
            await ask(upstreams)
        assert len(peer.heads) == 2


async def test_a_beginning_without_end_is_held_as_long_as_there_is_room() -> None:
    """Each part that does not decide counts; the first that finds no room goes on unjudged."""
    counted: list[int] = []

    def may_hold(size: int) -> bool:
        counted.append(size)
        return sum(counted) <= 4000

    async def undecided(connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS)
        for _ in range(20):
            await connection.say(chunk(b"x" * 1000))
            await asyncio.sleep(0.01)
        await connection.say(chunk(b'overloaded"\n\n'), LAST_CHUNK)

    async with Peer(undecided) as peer, opened(peer) as upstreams:
        response = await upstreams.request(
            call(), is_decidable=enough, find_error=overload_in, may_hold=may_hold
        )
        assert 4000 < len(response.first) == sum(counted) < 20_000
        assert (await whole(response)).endswith(b"x" * 1000 + b'overloaded"\n\n')
