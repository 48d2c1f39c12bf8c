"""The client's side of an answer."""

from __future__ import annotations

import asyncio

import pytest

from proxy.relay.client_writer import BUFFERED_BYTES, ClientWriter
from tests.relay.peers import FakeTransport


def client(*, chunked: bool = True, stuck: bool = False) -> tuple[ClientWriter, FakeTransport]:
    transport = FakeTransport(stuck=stuck)
    return ClientWriter(transport, transport, chunked=chunked, now=0.0), transport


def test_framing_as_the_headers_said() -> None:
    """Chunked bodies are framed, others are not, and both count their bytes without framing."""
    framed, transport = client()
    framed.write(b"0123456789abcdef", 1.0)
    assert transport.text == b"10\r\n0123456789abcdef\r\n"
    plain, transport = client(chunked=False)
    plain.write(b"abc", 1.0)
    assert transport.text == b"abc"
    assert (framed.sent, plain.sent) == (16, 3)


def test_a_chunk_that_came_whole() -> None:
    """Goes on as it came and is counted as any other; where no chunks go, its body does."""
    framed, transport = client()
    framed.write(b"abc", 1.0, b"0003\r\nabc\r\n")
    assert transport.text == b"0003\r\nabc\r\n"
    assert (framed.sent, framed.wire_bytes) == (3, 11)
    plain, transport = client(chunked=False)
    plain.write(b"abc", 1.0, b"0003\r\nabc\r\n")
    assert transport.text == b"abc"


def test_nothing_is_no_last_chunk() -> None:
    """An empty write sends nothing: in chunked coding it would be the end."""
    writer, transport = client()
    writer.write(b"", 1.0)
    assert transport.written == []
    assert writer.written_at == 0.0


@pytest.mark.parametrize("gone", ["left", "closing"])
def test_a_client_that_is_gone(gone: str) -> None:
    """Nothing is written to it, and nothing waits for it."""
    writer, transport = client(stuck=True)
    if gone == "left":
        writer.left = True
    else:
        transport.closing = True
    writer.write(b"x", 1.0)
    assert transport.written == []
    assert not writer.is_congested()


def test_a_client_that_lags() -> None:
    """Above its small buffer the upstream must wait."""
    writer, _ = client(stuck=True)
    writer.write(b"x" * (BUFFERED_BYTES // 2), 1.0)
    assert not writer.is_congested()
    writer.write(b"x" * BUFFERED_BYTES, 1.0)
    assert writer.is_congested()
    assert writer.waiting > BUFFERED_BYTES


async def test_a_client_that_breaks_while_it_is_waited_for() -> None:
    """Its leaving is noticed, and is no error."""
    writer, transport = client(stuck=True)

    async def broken() -> None:
        raise ConnectionResetError

    transport.drain = broken  # type: ignore[method-assign]
    await writer.drain()
    assert writer.left


async def test_a_client_that_left_before_its_answer_began() -> None:
    """It takes everything and keeps nothing."""
    writer = ClientWriter.gone(1.0)
    writer.write(b"x", 2.0)
    await writer.drain()
    assert (writer.sent, writer.waiting, writer.is_congested()) == (0, 0, False)


@pytest.mark.parametrize("takes", [True, False])
async def test_waiting_until_all_has_left(takes: bool) -> None:
    """For so long and no longer, and down to the last byte."""
    writer, transport = client(stuck=True)
    writer.write(b"x", 1.0)
    if takes:
        asyncio.get_running_loop().call_later(0.01, transport.take_all)
    assert await writer.flush(5.0 if takes else 0.02) is takes
    assert transport.high == 0
