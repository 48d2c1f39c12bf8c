"""The fast way through: who pauses whom, and who goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.errors import SluiceError, UpstreamCut
from proxy.relay.callback_relay import CallbackRelay
from proxy.relay.client_writer import BUFFERED_BYTES, ClientWriter
from proxy.relay.opaque_body import OpaqueBody
from tests.relay.peers import FakeTransport

MUCH = b"x" * (BUFFERED_BYTES + 1)


class Tap:
    """An upstream connection that does as it is told, and remembers what it was told."""

    def __init__(self) -> None:
        self.receiver: CallbackRelay | None = None
        self.calls: list[str] = []
        self.stopped = False

    def flow(self, receiver: CallbackRelay) -> None:
        self.receiver = receiver

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def stop(self) -> None:
        self.stopped = True


class Joined:
    """A relay that runs between a tap and a client."""

    def __init__(self, *, stuck: bool = False, chunked: bool = False, through: Any = None) -> None:
        self.tap = Tap()
        self.transport = FakeTransport(stuck=stuck)
        client = ClientWriter(self.transport, self.transport, chunked=chunked, now=0.0)
        self.relay = CallbackRelay(self.tap, through or OpaqueBody(keep=False), client)
        self.task = asyncio.create_task(self.relay.run())

    async def settle(self) -> None:
        """Let the task do what it can."""
        for _ in range(5):
            await asyncio.sleep(0)


async def test_bytes_move_in_the_call_that_brings_them() -> None:
    """No task has to wake for them; the clean end wakes it once."""
    joined = Joined()
    await joined.settle()
    joined.relay.received(b"one")
    joined.relay.received(b"two")
    assert joined.transport.written == [b"one", b"two"]
    joined.relay.ended(None)
    await joined.task
    assert joined.tap.stopped


class Cutting:
    """Keeps something back of every read."""

    def feed(self, chunk: bytes, now: float) -> bytes:
        return chunk[:-1]


@pytest.mark.parametrize(
    ("through", "sent"), [(None, b"3\r\nabc\r\n"), (Cutting(), b"2\r\nab\r\n")]
)
async def test_a_chunk_goes_on_as_it_came(through: Any, sent: bytes) -> None:
    """Unless what is to be sent is not what came."""
    joined = Joined(through=through, chunked=True)
    await joined.settle()
    joined.relay.received(b"abc", b"3\r\nabc\r\n")
    assert joined.transport.written == [sent]
    joined.relay.ended(None)
    await joined.task


async def test_a_client_that_lags_pauses_the_upstream_until_it_has_caught_up() -> None:
    """Nothing is read for it meanwhile."""
    joined = Joined(stuck=True)
    await joined.settle()
    joined.relay.received(MUCH)
    await joined.settle()
    assert joined.tap.calls == ["pause"]
    joined.transport.take_all()
    await joined.settle()
    assert joined.tap.calls == ["pause", "resume"]
    joined.relay.ended(None)
    await joined.task


async def test_a_client_that_catches_up_before_anybody_looked_is_read_for_again() -> None:
    """The pause is taken back even if there is nothing to wait for once the task wakes."""
    joined = Joined(stuck=True)
    await joined.settle()
    joined.relay.received(MUCH)
    joined.transport.take_all()
    await joined.settle()
    assert joined.tap.calls == ["pause", "resume"]
    joined.relay.ended(None)
    await joined.task


async def test_a_cut_is_raised_where_it_can_be_handled() -> None:
    """Not in the callback of a connection."""
    joined = Joined()
    await joined.settle()
    joined.relay.ended(UpstreamCut("gone"))
    with pytest.raises(SluiceError, match="gone"):
        await joined.task
    assert joined.tap.stopped


class Broken(OpaqueBody):
    """A passage with a defect."""

    def feed(self, chunk: bytes, now: float) -> bytes:
        raise RuntimeError("defect")


async def test_a_defect_on_the_way_is_raised_there_too() -> None:
    """Instead of being lost in the event loop's log while the client waits for ever."""
    joined = Joined(through=Broken(keep=False))
    await joined.settle()
    joined.relay.received(b"x")
    with pytest.raises(RuntimeError, match="defect"):
        await joined.task


async def test_cancelled_it_lets_the_upstream_go() -> None:
    """Whoever closes the answer then finds nobody who still writes."""
    joined = Joined()
    await joined.settle()
    joined.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joined.task
    assert joined.tap.stopped
