"""Takes the body of a chunked event stream past the HTTP client's parser.

A token costs a gateway mostly wake-ups: of a parser's callback, of a future, of a task. Here the
head of an answer goes through aiohttp's parser as always; if the body is an event stream in chunked
coding, its bytes go straight from the connection to whoever relays them. The parser is told of the
end when it has come, so that the connection goes back to the pool like any other.

`SLUICE_FAST_PATH=false` leaves it out.

States of a connection, and who its transport's protocol is:

    state     protocol       `held`   leaves it by
    parsing   BypassHandler  None     the head of a chunked event stream: holding
    holding   BypassHandler  a list   `bypassed_body`: taken; a next request: parsing
    taken     RawBody        a list   the last chunk: parsing; broken chunks or a loss: closed

Why it is safe:

- Every byte of the body has one owner. From the end of the head on it is in `held`, which
  `RawBody` takes over with the protocol; the parser sees none of it, and the receiver sees each
  byte once, in order.
- The parser and this file agree on where the body begins and that it is chunked: a head that says
  anything twice, in another coding, or for a status without a body (RFC 9112, 6.3) is the parser's.
- The parser waits for a chunked body all the while. The one last chunk that it is given at the end
  is what lets aiohttp release the connection; it is given nothing if the chunks were broken.
- A connection goes back to the pool only if nothing followed the last chunk; else an upstream could
  answer the next request before it was asked.
- Memory is bounded: beyond `HELD_BYTES` of what nobody has asked for, reading pauses.
- A loss is remembered (`lost`) and passed on to aiohttp, whoever the protocol is at that moment.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from aiohttp import ClientResponse

from proxy.errors import SluiceError
from proxy.http.connection import Connection
from proxy.http.raw_body import HELD_BYTES, RawBody

_BYPASSED_STATUS = re.compile(rb"HTTP/1\.1 2(?!04)\d\d")
"""RFC 9112, 6.3: after a 204, as after HEAD, no body follows, whatever the head says."""
_FIELD = re.compile(
    rb"\r\n(content-type|content-encoding|transfer-encoding|content-length):([^\r]*)"
)
_LAST_CHUNK = b"0\r\n\r\n"


class BypassHandler(Connection):
    """A connection whose event streams are kept from aiohttp's parser."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, longest_life: float = 0.0) -> None:
        super().__init__(loop, longest_life=longest_life)
        self.held: list[bytes] | None = None
        """Raw body bytes kept from the parser; None where the body is the parser's."""
        self.lost: Exception | None = None

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent; see `Connection`."""
        self.held = None
        super().set_response_params(**params)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; whoever takes the body over later must learn why."""
        self.lost = exc if isinstance(exc, Exception) else ConnectionResetError()
        super().connection_lost(exc)

    def body_ended(self, *, reusable: bool) -> None:
        """Tell the parser that the body which it never saw is over."""
        self.held = None
        if not reusable:
            self.force_close()
        self.data_received(_LAST_CHUNK)

    def _receive(self, data: bytes) -> None:
        if self.held is None:
            super()._receive(data)
        else:
            self._hold(data)

    def _body_begins(self, head: bytes, rest: bytes) -> None:
        if self._skip_payload or not _is_chunked_event_stream(head):
            super()._body_begins(head, rest)
            return
        self.held = [rest] if rest else []
        super()._body_begins(head, b"")

    def _hold(self, data: bytes) -> None:
        assert self.held is not None
        self.held.append(data)
        if sum(map(len, self.held)) > HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()


def _is_chunked_event_stream(head: bytes) -> bool:
    """Whether the body needs no more than its chunks taken apart."""
    if not _BYPASSED_STATUS.match(head):
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


def bypassed_body(
    client_response: ClientResponse, on_end: Callable[[Exception | None], SluiceError | None]
) -> RawBody | None:
    """The response's body, if it was kept from the parser; else None."""
    connection = client_response.connection
    handler = None if connection is None else connection.protocol
    if not isinstance(handler, BypassHandler) or handler.held is None:
        return None
    return RawBody(handler, on_end)
