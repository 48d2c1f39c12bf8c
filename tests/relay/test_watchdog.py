"""The watch over one stream: orders to stop, and where pings go."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from proxy.errors import Drained, IdleTimeout, SlowClient, TotalTimeout
from proxy.relay.client_writer import ClientWriter
from proxy.relay.opaque_body import OpaqueBody
from proxy.relay.watchdog import StreamWatchdog
from tests.relay.peers import FakeTransport
from tests.relay.test_body_relay import NEVER

if TYPE_CHECKING:
    from tests.relay.conftest import FakeClock


def watchdog(
    transport: FakeTransport, body_filter: OpaqueBody, *, pings: bool = True, **own: float
) -> StreamWatchdog:
    now = time.monotonic()
    timeouts = type(NEVER)(**({name: getattr(NEVER, name) for name in NEVER.__slots__} | own))
    client = ClientWriter(transport, transport, chunked=False, now=now)
    return StreamWatchdog(timeouts, body_filter, client, called_at=now, sent_at=now, pings=pings)


class Between(OpaqueBody):
    """A passage that always stands between two events."""

    between_events = True
    ping = b": ping\n\n"


async def test_the_first_order_counts() -> None:
    """Of several reasons to stop, the stream ends by the first."""
    with pytest.raises(Drained):
        async with watchdog(FakeTransport(), OpaqueBody(keep=False)) as watched:
            watched.stop(Drained("Stopping."))
            watched.stop(IdleTimeout("Silent."))
            await asyncio.Event().wait()


async def test_what_is_written_to_a_client_that_takes_nothing_is_no_progress() -> None:
    """Its time runs from when it stopped, however much is added to what it has to take."""
    transport = FakeTransport(stuck=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(SlowClient):
        async with watchdog(transport, OpaqueBody(keep=False), slow_client=8) as watching:
            while True:
                watching._client.write(b"more", loop.time())
                await asyncio.sleep(0.5)
    assert loop.time() - began < 11


async def test_a_stream_that_ends_in_time() -> None:
    """Nothing is raised, and no timer is left to fire."""
    async with watchdog(FakeTransport(), OpaqueBody(keep=False), total=0.05) as watched:
        pass
    await asyncio.sleep(0.1)
    assert watched._error is None


async def test_the_callers_own_timeout_passes() -> None:
    """A timeout from outside is not taken for one of the clocks."""
    with pytest.raises(TimeoutError):
        async with (
            asyncio.timeout(0.02),
            watchdog(FakeTransport(), OpaqueBody(keep=False), total=60),
        ):
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("body_filter", "pings", "expected"),
    [
        (Between(keep=False), True, True),
        (Between(keep=False), False, False),
        (OpaqueBody(keep=False), True, False),
    ],
)
async def test_where_pings_go(body_filter: OpaqueBody, pings: bool, expected: bool) -> None:
    """Between events of a stream, and nowhere else."""
    transport = FakeTransport()
    with pytest.raises(TotalTimeout):
        async with watchdog(transport, body_filter, pings=pings, ping=0.02, total=0.15):
            await asyncio.Event().wait()
    assert (Between.ping in transport.written) is expected


class Piecemeal(FakeTransport):
    """Its client has bytes to take, and takes as many as the test says."""

    def __init__(self, waiting: int = 0) -> None:
        super().__init__()
        self.waiting = waiting

    def get_write_buffer_size(self) -> int:
        return self.waiting


async def test_events_that_come_keep_a_stream() -> None:
    """Its time of silence runs from the last of them."""
    body, loop = OpaqueBody(keep=False), asyncio.get_running_loop()
    with pytest.raises(IdleTimeout):
        async with watchdog(FakeTransport(), body, idle=2):
            for _ in range(10):
                await asyncio.sleep(1)
                body.feed(b"x", loop.time())
            last = loop.time()
            await asyncio.Event().wait()
    assert loop.time() - last == pytest.approx(2, abs=0.1)


async def test_a_held_up_loop_does_not_make_a_stream_late(clock: FakeClock) -> None:
    """However often: each time it is read once more what has come meanwhile, before it ends.

    Also where the time had passed when the stream began.
    """
    body = OpaqueBody(keep=False)
    loop = asyncio.get_running_loop()
    late = watchdog(FakeTransport(), body, idle=2)
    clock.advance(3)
    async with late:
        for _ in range(3):
            loop.call_later(0.001, lambda: body.feed(b"x", loop.time()))
            await asyncio.sleep(0.01)
            clock.advance(3)
            await asyncio.sleep(0)
        body.feed(b"x", loop.time())
        await asyncio.sleep(1)


async def test_a_client_that_takes_a_little_now_and_then() -> None:
    """It is slow, and not stuck, until it takes nothing more."""
    transport, loop = Piecemeal(waiting=20), asyncio.get_running_loop()
    with pytest.raises(SlowClient):
        async with watchdog(transport, OpaqueBody(keep=False), slow_client=4):
            for _ in range(10):
                await asyncio.sleep(2)
                transport.waiting -= 1
            last = loop.time()
            await asyncio.Event().wait()
    assert 4 <= loop.time() - last < 6


async def test_a_client_that_has_caught_up() -> None:
    """It owes nothing any more, and its time begins anew should it stop again."""
    transport, loop = Piecemeal(), asyncio.get_running_loop()
    with pytest.raises(SlowClient):
        async with watchdog(transport, OpaqueBody(keep=False), slow_client=4):
            for waiting in (5, 0, 5):
                transport.waiting = waiting
                stopped = loop.time()
                await asyncio.sleep(3)
                if not waiting:
                    await asyncio.sleep(20)
            await asyncio.Event().wait()
    assert 4 <= loop.time() - stopped < 6


async def test_a_client_that_is_stuck_gets_no_pings() -> None:
    """They would wait behind what it does not take."""
    transport = Piecemeal(waiting=1)
    with pytest.raises(TotalTimeout):
        async with watchdog(transport, Between(keep=False), ping=1, total=10):
            await asyncio.Event().wait()
    assert transport.written == []


async def test_where_there_is_no_place_for_a_ping() -> None:
    """It is looked for again after another interval, and not all the time until then."""
    looks: list[float] = []

    class Inside(OpaqueBody):
        @property
        def between_events(self) -> bool:  # type: ignore[override]
            looks.append(1)
            return False

    with pytest.raises(TotalTimeout):
        async with watchdog(FakeTransport(), Inside(keep=False), ping=1, total=10):
            await asyncio.Event().wait()
    assert 8 <= len(looks) <= 10
