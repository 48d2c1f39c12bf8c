"""The watch over one stream: orders to stop, and where pings go."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.errors import Drained, IdleTimeout, SlowClient, TotalTimeout
from proxy.relay.client_writer import ClientWriter
from proxy.relay.opaque import Opaque
from proxy.relay.watchdog import StreamWatchdog
from tests.relay.peers import FakeTransport
from tests.relay.test_pump import NEVER


def watchdog(
    transport: FakeTransport, body_filter: Opaque, *, pings: bool = True, **own: float
) -> StreamWatchdog:
    now = time.monotonic()
    timeouts = type(NEVER)(**({name: getattr(NEVER, name) for name in NEVER.__slots__} | own))
    client = ClientWriter(transport, transport, chunked=False, now=now)
    return StreamWatchdog(timeouts, body_filter, client, called_at=now, sent_at=now, pings=pings)


class Between(Opaque):
    """A passage that always stands between two events."""

    between_events = True
    ping = b": ping\n\n"


async def test_the_first_order_counts() -> None:
    """Of several reasons to stop, the stream ends by the first."""
    with pytest.raises(Drained):
        async with watchdog(FakeTransport(), Opaque(keep=False)) as one:
            one.stop(Drained("Stopping."))
            one.stop(IdleTimeout("Silent."))
            await asyncio.Event().wait()


async def test_what_is_written_to_a_client_that_takes_nothing_is_no_progress() -> None:
    """Its time runs from when it stopped, however much is added to what it has to take."""
    transport = FakeTransport(stuck=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(SlowClient):
        async with watchdog(transport, Opaque(keep=False), slow_client=8) as watching:
            while True:
                watching._client.write(b"more", loop.time())
                await asyncio.sleep(0.5)
    assert loop.time() - began < 11


async def test_a_stream_that_ends_in_time() -> None:
    """Nothing is raised, and no timer is left to fire."""
    async with watchdog(FakeTransport(), Opaque(keep=False), total=0.05) as one:
        pass
    await asyncio.sleep(0.1)
    assert one._error is None


async def test_the_callers_own_timeout_passes() -> None:
    """A timeout from outside is not taken for one of the clocks."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02), watchdog(FakeTransport(), Opaque(keep=False), total=60):
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("body_filter", "pings", "expected"),
    [
        (Between(keep=False), True, True),
        (Between(keep=False), False, False),
        (Opaque(keep=False), True, False),
    ],
)
async def test_where_pings_go(body_filter: Opaque, pings: bool, expected: bool) -> None:
    """Between events of a stream, and nowhere else."""
    transport = FakeTransport()
    with pytest.raises(TotalTimeout):
        async with watchdog(transport, body_filter, pings=pings, ping=0.02, total=0.15):
            await asyncio.Event().wait()
    assert (Between.ping in transport.written) is expected
