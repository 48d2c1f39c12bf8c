"""A client of HTTP/2 that obeys no rule: frames and header fields go out as they are written."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

if TYPE_CHECKING:
    import ssl

DEADLINE = 10.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WHOLE_WINDOW = 2**31 - 1 - 65_535
_FRAME_HEAD = 9
_READ = 65_536
_PIECE = 16_000
_WHOLE = ("END_HEADERS", "END_STREAM")
Fields = tuple[tuple[bytes, bytes], ...]


@dataclass
class Answer:
    """What has come of one stream."""

    status: int = 0
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    whole: bool = False
    reset: int | None = None
    """The error code of the other side's RST_STREAM."""


class Http2Frames:
    """One connection by TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._unread = b""
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        """The error code of the other side's GOAWAY."""
        self.closed = False

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext, *, window: int | None = None) -> Self:
        """Connect to a port of this machine. `window`: bytes that each answer may send unasked."""
        context.set_alpn_protocols(["h2"])
        opened = socket.create_connection(("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(
            sock=opened, ssl=context, server_hostname="localhost"
        )
        client = cls(reader, writer)
        settings = {SettingsFrame.INITIAL_WINDOW_SIZE: 2**20 if window is None else window}
        client.send(PREFACE, SettingsFrame(settings=settings).serialize())
        client.send(WindowUpdateFrame(0, window_increment=_WHOLE_WINDOW).serialize())
        return client

    def send(self, *data: bytes) -> None:
        """Send bytes; what the other side no longer takes is lost."""
        if not self._writer.is_closing():
            self._writer.write(b"".join(data))

    async def sent(self) -> None:
        """Wait until the other side has taken most of it, or is gone."""
        with contextlib.suppress(OSError):
            async with asyncio.timeout(DEADLINE):
                await self._writer.drain()

    def block(self, fields: Fields) -> bytes:
        """Fields as HPACK, without an entry in its table: a refused block must not shift it."""
        return self._encoder.encode([(name, value, True) for name, value in fields])

    def headers(self, stream: int, fields: Fields, *flags: str) -> bytes:
        """A HEADERS frame."""
        return HeadersFrame(stream, self.block(fields), flags=flags).serialize()

    def request(self, stream: int, fields: Fields, body: bytes | None, trailers: Fields) -> bytes:
        """A whole request: its head in as many frames as it takes, its body, its trailers."""
        block = self.block(fields)
        pieces = [block[at : at + _PIECE] for at in range(0, len(block), _PIECE)] or [b""]
        frames: list[Frame] = [HeadersFrame(stream, pieces[0])]
        frames += [ContinuationFrame(stream, piece) for piece in pieces[1:]]
        frames[-1].flags.add("END_HEADERS")
        if body is None:
            frames[0].flags.add("END_STREAM")
        else:
            frames.append(DataFrame(stream, body, flags=[] if trailers else ["END_STREAM"]))
        sent = b"".join(frame.serialize() for frame in frames)
        return sent + (self.headers(stream, trailers, *_WHOLE) if trailers else b"")

    async def head(self, stream: int, fields: Fields) -> Answer:
        """Ask, and wait for no more than the status."""
        self.send(self.headers(stream, fields, *_WHOLE))
        answer = self.answers.setdefault(stream, Answer())
        async with asyncio.timeout(DEADLINE):
            while not (answer.status or self.closed):
                await self.read()
        return answer

    async def answer(self, stream: int) -> Answer:
        """What becomes of a stream, once it is whole, reset, or the connection has ended."""
        answer = self.answers.setdefault(stream, Answer())
        async with asyncio.timeout(DEADLINE):
            while not (answer.whole or answer.reset is not None or self.closed):
                await self.read()
        return answer

    async def ended(self) -> int | None:
        """Wait for the other side to close; the code of its GOAWAY, if it sent one."""
        async with asyncio.timeout(DEADLINE):
            while not self.closed:
                await self.read()
        return self.goaway

    async def read(self) -> None:
        """Take in what has come."""
        try:
            data = await self._reader.read(_READ)
        except OSError:
            data = b""
        self.closed = not data
        self._unread += data
        while len(self._unread) >= _FRAME_HEAD:
            frame, length = Frame.parse_frame_header(memoryview(self._unread[:_FRAME_HEAD]))
            if len(self._unread) < _FRAME_HEAD + length:
                return
            frame.parse_body(memoryview(self._unread[_FRAME_HEAD : _FRAME_HEAD + length]))
            self._unread = self._unread[_FRAME_HEAD + length :]
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        answer = self.answers.setdefault(frame.stream_id, Answer())
        if isinstance(frame, HeadersFrame):
            fields = self._decoder.decode(frame.data, raw=True)
            answer.fields = [(bytes(name), bytes(value)) for name, value in fields]
            answer.status = int(dict(answer.fields)[b":status"])
        elif isinstance(frame, DataFrame):
            answer.body += frame.data
        elif isinstance(frame, RstStreamFrame):
            answer.reset = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.goaway = frame.error_code
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.send(SettingsFrame(flags=["ACK"]).serialize())
        if "END_STREAM" in frame.flags:
            answer.whole = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
