"""The fast path against the plain one: the same answer by either, whatever is sent and however."""

from __future__ import annotations

import asyncio
import re
from typing import Any, NamedTuple
from unittest.mock import patch

from aiohttp import ClientError, EofStream, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD

from proxy.errors import SluiceError, UpstreamCut
from proxy.http.parser_bypass import BypassHandler
from proxy.http.raw_body import RawBody
from proxy.http.upstream_connection import UpstreamConnection
from proxy.relay import client_writer as relay_client
from proxy.relay.callback_relay import CallbackRelay
from proxy.relay.client_writer import ClientWriter
from proxy.relay.opaque_body import OpaqueBody
from tests.fuzz.chunks import decoded
from tests.fuzz.cuts import Target, given, pieces
from tests.relay.peers import FakeTransport

MARK = re.compile(rb"\r\n\r\n|\r\n(?=[0-9A-Fa-f]+\r\n)")
_LATE, _READ, _CHUNKED, _STUCK, _RESET, _TO_HEAD = 1, 2, 4, 8, 16, 32


class Wire(asyncio.Transport):
    """A connection that never was: it hands bytes to whoever is its protocol."""

    def __init__(self, protocol: ResponseHandler) -> None:
        super().__init__()
        self.protocol: Any = protocol
        self.paused = self.closed = False
        protocol.connection_made(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    close = abort

    def say(self, data: bytes) -> None:
        """Let bytes come in, unless this side has closed."""
        if not self.closed:
            self.protocol.data_received(data)

    def lose(self, error: Exception | None) -> None:
        """Let the connection end."""
        self.protocol.connection_lost(error)


class Head(NamedTuple):
    """What must be the same by either path."""

    code: int
    headers: tuple[tuple[bytes, bytes], ...]
    should_close: bool


class Answer(NamedTuple):
    """What came of one answer."""

    head: Head | None
    body: bytes = b""
    clean: bool = False
    reusable: bool = False
    """Whether the connection may carry another answer; told of the fast path only."""


def check(data: bytes) -> None:
    """When the body is taken over, by whom, and how the connection ends are the choice."""
    choice, sizes, text = given(data)
    cut = pieces(text, sizes, MARK)
    with patch.object(relay_client, "BUFFERED_BYTES", 16):
        asyncio.run(same_answer(choice, cut))


async def same_answer(choice: int, cut: list[bytes]) -> None:
    """Both paths tell the same head; of a valid body both tell the same bytes and end."""
    error = ConnectionResetError() if choice & _RESET else None
    loop, to_head = asyncio.get_running_loop(), bool(choice & _TO_HEAD)
    plain = await _plain(_asked(UpstreamConnection(loop), to_head=to_head), cut, error)
    handler = BypassHandler(loop)
    wire = _asked(handler, to_head=to_head)
    rest = list(cut)
    while rest and handler.held is None:
        wire.say(rest.pop(0))
    if handler.held is None:
        # The parser raises before it tells the head that came with what is bad.
        assert plain in {await _read(wire, error), Answer(None)}
        return
    head = await _head(handler)
    if head is None:
        assert plain.head is None
        assert wire.closed
        return
    assert not head[1].is_eof()
    assert plain.head in {None, head[0]}
    late = len(rest) // 2 if choice & _LATE else 0
    for piece in rest[:late]:
        wire.say(piece)
    raw = b"".join((*handler.held, *rest[late:]))
    fast = await _by_callbacks(choice, handler, wire, rest[late:], error)
    true = decoded(raw)
    assert fast.clean is (true is not None)
    if true is None or head[0].should_close:
        assert not fast.reusable
    elif not true[1]:  # Else it matters when what follows the end has come.
        assert fast.reusable
    assert true is None or fast.body == true[0]
    if plain.clean and fast.clean:
        assert fast.body == plain.body
    # The parser lets some line ends pass; a bad chunk costs it all that came at once.
    assert fast.body.startswith(plain.body) or plain.body.startswith(fast.body)


def _asked(handler: ResponseHandler, *, to_head: bool) -> Wire:
    wire = Wire(handler)
    handler.set_response_params(read_until_eof=True, auto_decompress=False, skip_payload=to_head)
    return wire


async def _plain(wire: Wire, cut: list[bytes], error: Exception | None) -> Answer:
    for piece in cut:
        wire.say(piece)
    return await _read(wire, error)


async def _read(wire: Wire, error: Exception | None) -> Answer:
    """The answer as aiohttp tells it, once all has come."""
    wire.lose(error)
    head_and_payload = await _head(wire.protocol)
    if head_and_payload is None:
        return Answer(None)
    head, payload = head_and_payload
    body = b"" if payload is EMPTY_PAYLOAD else payload._read_nowait(-1)
    return Answer(head, body, payload.is_eof() and payload.exception() is None)


async def _head(handler: ResponseHandler) -> tuple[Head, StreamReader] | None:
    """The final answer's head and body; None if what came is no HTTP."""
    try:
        async with asyncio.timeout(5):
            message, payload = await handler.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, payload = await handler.read()
    except (ClientError, HttpProcessingError, EofStream, ConnectionError):
        return None
    return Head(message.code, message.raw_headers, message.should_close), payload


async def _by_callbacks(
    choice: int, handler: BypassHandler, wire: Wire, rest: list[bytes], error: Exception | None
) -> Answer:
    """The answer as the fast path tells it: read for a while, or given on as it comes."""
    ends: list[Exception | None] = []

    def on_end(cause: Exception | None) -> SluiceError | None:
        ends.append(cause)
        return None if cause is None else UpstreamCut(str(cause))

    body = RawBody(handler, on_end)
    out = FakeTransport(stuck=bool(choice & _STUCK))
    client = ClientWriter(out, out, chunked=bool(choice & _CHUNKED), now=0.0)
    task = asyncio.create_task(_relay(body, client, reads=bool(choice & _READ)))
    for piece in rest:
        await _until_read_on(wire, out)
        wire.say(piece)
    await _until_read_on(wire, out)
    reusable = wire.protocol is handler and not handler.should_close
    wire.lose(error)
    out.take_all()
    async with asyncio.timeout(5):
        clean = await task
    assert len(ends) == 1
    assert (ends[0] is None) is clean
    text = out.text
    if choice & _CHUNKED:
        sent = decoded(text + b"0\r\n\r\n")
        assert sent is not None
        assert sent[1] == b""
        text = sent[0]
    assert client.sent == len(text)
    return Answer(None, text, clean, reusable)


async def _relay(body: RawBody, client: ClientWriter, *, reads: bool) -> bool:
    """Relay to the end; whether it was a clean one."""
    try:
        if reads and (first := await body.read()):
            client.write(first, 0.0)
        await CallbackRelay(body, OpaqueBody(keep=False), client).run()
    except UpstreamCut:
        return False
    return True


async def _until_read_on(wire: Wire, out: FakeTransport) -> None:
    """Let the relay go on until it wants more; a stuck client takes all there is for that."""
    await asyncio.sleep(0)
    for _ in range(8):
        if not wire.paused or wire.closed:
            return
        stuck = out.stuck
        out.take_all()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        out.stuck = stuck
        out.taken.clear()
    raise AssertionError("nobody reads on")


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
_BODY = b"9\r\ndata: 1\n\n\r\n0A\r\ndata: 22\n\n\r\n0\r\n\r\n"
TARGET = Target(
    check,
    (
        b"",
        _HEAD + b"\r\n" + _BODY,
        _HEAD + b"\r\n" + _BODY[:-9],
        _HEAD + b"\r\n" + _BODY[:-2],
        _HEAD + b"\r\n" + _BODY + b"HTTP/1.1 200 OK\r\n",
        _HEAD + b"\r\n" + _BODY[:14] + b"zz\r\n",
        _HEAD + b"Connection: close\r\n\r\n" + _BODY,
        _HEAD + b"Content-Encoding: br\r\n\r\n" + _BODY,
        _HEAD + b"Content-Length: 5\r\n\r\n" + _BODY,
        _HEAD.replace(b"1.1", b"1.0") + b"\r\n" + _BODY,
        _HEAD.replace(b"\r\n", b"\n") + b"\n" + _BODY,
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _HEAD + b"\r\n" + _BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 204 No Content\r\n\r\n" + _HEAD,
        _HEAD.replace(b"200 OK", b"204 No Content") + b"\r\n" + _BODY,
        _HEAD.replace(b"200 OK", b"205 Reset") + b"\r\n" + _BODY,
        _HEAD.replace(b"chunked", b"chunked\t") + b"\r\n" + _BODY,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + _HEAD + b"\r\n" + _BODY,
        b"SSH-2.0-OpenSSH_9\r\n",
        _HEAD[:40],
    ),
    (0, _LATE, _READ, _CHUNKED, _STUCK | _CHUNKED, _LATE | _STUCK | _READ, _RESET, _TO_HEAD),
    (
        b"\r\n\r\n",
        b"\r\nContent-Encoding: ",
        b"\r\nTransfer-Encoding: chunked",
        b"\r\nContent-Type: text/event-stream",
        b"\r\nContent-Length: 5",
        b"HTTP/1.1 1",
        b"HTTP/1.1 2",
        b"0\r\n\r\n",
        b"1\r\na\r\n",
    ),
)
