from __future__ import annotations

import asyncio
import time

import pytest

from tests.demo.conftest import Demo
from tests.demo.peer import FAMILIES, body_for, call, request, stream


async def left_in_midstream(demo: Demo, words: str, events: int, family: str = "chat") -> float:
    """Leave once so many events are sent; give the seconds until the demo knew."""
    _, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    writer.write(request(*body_for(family, words)))
    await demo.state.until(lambda state: bool(state.calls) and state.calls[0].events >= events)
    left = time.monotonic()
    writer.close()
    await demo.state.until(lambda state: state.left == 1)
    return time.monotonic() - left


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_peer_that_leaves_is_noticed(demo: Demo, family: str) -> None:
    """Within 100 ms the call is over, counted as left, with the events that had been sent."""
    # The best of three, for a busy machine may stop the test itself for longer than that.
    took = []
    for _ in range(3):
        demo.state.reset()
        took.append(await left_in_midstream(demo, "rate=20;tokens=1000", 4, family))
    (seen,) = demo.state.calls
    assert min(took) < 0.1
    assert (seen.ended_by, len(demo.state.open)) == ("left", 0)
    assert 4 <= seen.events <= 8
    assert seen.ended_at is not None
    assert seen.ended_at >= seen.started_at


@pytest.mark.parametrize("words", ["hang=2", "pings-only=0.01", "hang=2;hang-for=60"])
async def test_leaving_a_stream_that_hangs(demo: Demo, words: str) -> None:
    """A silent or pinging stream notices as well."""
    await left_in_midstream(demo, words, 0 if "pings" in words else 2)
    assert demo.state.left == 1


@pytest.mark.parametrize(
    ("words", "bytes_sent"), [("hang-before", False), ("hang-headers", True), ("ttft=60", True)]
)
async def test_leaving_before_the_first_event(demo: Demo, words: str, bytes_sent: bool) -> None:
    """Before the head nothing was sent, after it the head alone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    writer.write(request(*body_for("chat", words)))
    await demo.state.until(lambda state: state.seen == 1)
    if bytes_sent:
        assert (await reader.read(10_000)).endswith(b"\r\n\r\n")
    writer.close()
    await demo.state.until(lambda state: state.left == 1)
    (seen,) = demo.state.calls
    assert (seen.bytes_sent > 0, seen.events) == (bytes_sent, 0)


async def test_a_hang_shows_what_came_before(demo: Demo) -> None:
    """N events arrive, then silence, and the connection stays open."""
    heard = await call(demo.port, request(*body_for("chat", "hang=3")), silence=0.3)
    assert heard.end == "silent"
    assert heard.body.count(b"data: ") == 3


async def test_a_hang_that_ends(demo: Demo) -> None:
    """After `hang-for` the stream goes on at its own pace, with no burst to catch up."""
    started = time.monotonic()
    heard = await stream(demo.port, "chat", "rate=100;tokens=10;hang=5;hang-for=0.3")
    took = time.monotonic() - started
    assert heard.body.endswith(b"data: [DONE]\n\n")
    assert 0.38 <= took < 1.5


async def test_the_pace_does_not_drift(demo: Demo) -> None:
    """Two hundred tokens at 400 a second take half a second, not 200 late timers more.

    The quickest of three: a drift would be in each, a machine that stood still is not.
    """
    quickest = float("inf")
    for _ in range(3):
        before = time.monotonic_ns()
        heard = await stream(demo.port, "chat", "stamp;rate=400;tokens=200")
        stamps = [int(part.partition(b" ")[0]) for part in heard.body.split(b'"content":"')[2:]]
        assert len(stamps) == 200
        # The first may be late, and the others then follow it more closely.
        assert (stamps[-1] - before) / 1e9 >= 0.49
        quickest = min(quickest, (stamps[-1] - stamps[0]) / 1e9)
        if quickest < 0.49 + 0.2:
            break
    assert quickest < 0.49 + 0.4


async def test_each_token_leaves_by_itself(demo: Demo) -> None:
    """At a pace, the first token has arrived while most others are still to be sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    writer.write(request(*body_for("chat", "rate=20;tokens=1000")))
    await reader.readuntil("Grüezi".encode())
    assert demo.state.calls[0].events < 500
    writer.close()
    await demo.state.until(lambda state: state.left == 1)


async def test_stamps_are_the_time_of_leaving(demo: Demo) -> None:
    """Each stamp lies between the request and its arrival, and they increase."""
    before = time.monotonic_ns()
    heard = await stream(demo.port, "chat", "stamp;rate=100;tokens=5")
    after = time.monotonic_ns()
    stamps = [int(part.split(b" ")[0]) for part in heard.body.split(b'"content":"')[2:]]
    assert len(stamps) == 5
    assert before <= stamps[0]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= after
    # The first may be late, and the others then follow it more closely.
    assert stamps[-1] - before > 30_000_000


@pytest.mark.parametrize("words", ["split", "split-utf8", "drip=40;drip-pause=2ms"])
async def test_pieces_are_read_one_by_one(demo: Demo, words: str) -> None:
    """The halves of an event reach a reader at different times."""
    heard = await stream(demo.port, "chat", f"tokens=60;{words}")
    torn = [data for data in heard.reads[:-1] if not data.endswith(b"\n\n\r\n")]
    assert len(torn) >= 2
