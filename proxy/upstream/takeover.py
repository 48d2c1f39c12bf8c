"""Takes the body of a chunked event stream past the HTTP client's parser.

A token costs a gateway mostly wake-ups: of a parser's callback, of a future, of a task. Here the
head of an answer goes through aiohttp's parser as always; if the body is an event stream in chunked
coding, its bytes go straight from the connection to whoever relays them. The parser is told of the
end when it has come, so that the connection goes back to the pool like any other.

Only this file knows how aiohttp's client protocol is made; `SLUICE_FAST_PATH=false` leaves it out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import ClientResponse
from aiohttp.client_proto import ResponseHandler

from proxy.errors import SluiceError
from proxy.upstream.raw_body import HELD_BYTES, RawBody

_HEAD_BEGINS = b"HTTP/1."
_HEAD_END = re.compile(rb"\r?\n\r?\n")
"""RFC 9112, 2.2: a line may end without its CR."""
_LONGEST_HEAD = 256 * 1024
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d")
"""RFC 9110, 15.2.2: no other answer follows a 101."""
_TAKEN = re.compile(rb"HTTP/1\.1 2(?!04)\d\d")
"""RFC 9112, 6.3: after a 204, as after HEAD, no body follows, whatever the head says."""
_FIELD = re.compile(
    rb"\r\n(content-type|content-encoding|transfer-encoding|content-length):([^\r]*)"
)
_LAST_CHUNK = b"0\r\n\r\n"


class StreamHandler(ResponseHandler):
    """aiohttp's protocol of one connection, which looks at each head before its body passes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head: bytearray | None = None
        """The answer's head as far as it has come; None once it is whole."""
        self.held: list[bytes] | None = None
        """Raw body bytes kept from the parser; None where the body is the parser's."""
        self.lost: Exception | None = None

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent: the next bytes are its answer's head."""
        self._head = bytearray()
        self.held = None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Give the parser heads, and bodies that are its business."""
        if self.held is not None:
            self._hold(data)
        elif self._head is None or not data:
            super().data_received(data)
        else:
            self._look(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; whoever takes the body over later must learn why."""
        self.lost = exc if isinstance(exc, Exception) else ConnectionResetError()
        if self._head:
            # Half a head, or none: the parser knows what to call it.
            head, self._head = bytes(self._head), None
            super().data_received(head)
        super().connection_lost(exc)

    def body_ended(self, *, reusable: bool) -> None:
        """Tell the parser that the body which it never saw is over."""
        self.held = None
        if not reusable:
            self.force_close()
        super().data_received(_LAST_CHUNK)

    def _look(self, data: bytes) -> None:
        head = self._head
        assert head is not None
        head += data
        found = _HEAD_END.search(head)
        if found is None:
            if len(head) > _LONGEST_HEAD or not head.startswith(_HEAD_BEGINS[: len(head)]):
                # The parser knows what to call it, and need not wait for more of it.
                self._head = None
                super().data_received(bytes(head))
            return
        first, rest = bytes(head[: found.end()]), bytes(head[found.end() :])
        interim = _INTERIM.match(first) is not None
        self._head = bytearray() if interim else None
        takes = not (interim or self._skip_payload) and _is_chunked_event_stream(first)
        if takes:
            self.held = [rest] if rest else []
        super().data_received(first)
        if rest and not takes:
            self.data_received(rest)

    def _hold(self, data: bytes) -> None:
        assert self.held is not None
        self.held.append(data)
        if sum(map(len, self.held)) > HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()


def _is_chunked_event_stream(head: bytes) -> bool:
    """Whether the body needs no more than its chunks taken apart."""
    if not _TAKEN.match(head):
        return False
    fields = dict.fromkeys((b"content-type", b"content-encoding", b"transfer-encoding"), b"")
    for name, value in _FIELD.findall(head.lower()):
        if name not in fields or fields[name]:
            return False
        # A tab is white space too, but not to the parser, which must be of the same mind.
        fields[name] = value.strip(b" ")
    return (
        fields[b"content-type"].partition(b";")[0].strip() == b"text/event-stream"
        and fields[b"transfer-encoding"] == b"chunked"
        and fields[b"content-encoding"] in {b"", b"identity"}
    )


def taken_over(
    response: ClientResponse, on_end: Callable[[Exception | None], SluiceError | None]
) -> RawBody | None:
    """The response's body, if it was kept from the parser; else None."""
    connection = response.connection
    handler = None if connection is None else connection.protocol
    if not isinstance(handler, StreamHandler) or handler.held is None:
        return None
    return RawBody(handler, on_end)


def factory(loop: asyncio.AbstractEventLoop) -> partial[ResponseHandler]:
    """What a connector makes its connections' protocols with."""
    made: type[ResponseHandler] = StreamHandler
    return partial(made, loop)
