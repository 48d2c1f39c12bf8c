"""Lets the body of a chunked event stream bypass the HTTP client's parser.

Most of a token's cost in a gateway are wake-ups: of a parser's callback, a future, a task. Here the
head of a response passes through aiohttp's parser as usual; if the body is an event stream in
chunked coding, its bytes go directly from the connection to the relay. At the end the parser is
given the last chunk, so that the connection returns to the pool as usual. `SLUICE_FAST_PATH=false`
disables it.

States of a connection, and its transport's protocol:

    state     protocol       `held`   transitions
    parsing   BypassHandler  None     head of a chunked event stream: holding
    holding   BypassHandler  a list   `bypassed_body`: taken; next request: parsing
    taken     RawBody        a list   last chunk: parsing; invalid chunks or a loss: closed

Why it is safe:

- Every byte of the body has one owner. From the end of the head on it is in `held`, which
  `RawBody` takes over with the protocol; the parser sees none of it, and the receiver gets each
  byte once, in order.
- The parser and this file agree on where the body begins and that it is chunked: a head with a
  repeated field, another coding, or a status without a body (RFC 9112, 6.3) is left to the parser.
- Meanwhile the parser waits for a chunked body. The last chunk that it is given at the end makes
  aiohttp release the connection; it is given nothing if the chunks were invalid.
- A connection returns to the pool only if nothing followed the last chunk; otherwise an upstream
  could answer the next request in advance.
- Memory is bounded: beyond `HELD_BYTES` of unrequested data, reading pauses.
- A loss is remembered (`lost`) and passed to aiohttp, whichever the protocol is at that time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from aiohttp import ClientResponse

from proxy.errors import SluiceError
from proxy.http.raw_body import HELD_BYTES, RawBody
from proxy.http.upstream_connection import UpstreamConnection

_BYPASSED_STATUS = re.compile(rb"HTTP/1\.1 2(?!04)\d\d")
"""RFC 9112, 6.3: no body follows a 204, or a response to HEAD, whatever its head says."""
_FIELD = re.compile(
    rb"\r\n(content-type|content-encoding|transfer-encoding|content-length):([^\r]*)"
)
_LAST_CHUNK = b"0\r\n\r\n"


class BypassHandler(UpstreamConnection):
    """A connection whose event streams bypass aiohttp's parser."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, longest_life: float = 0.0) -> None:
        super().__init__(loop, longest_life=longest_life)
        self.held: list[bytes] | None = None
        """Raw body bytes that bypass the parser; None if the parser reads the body."""
        self.lost: Exception | None = None

    def set_response_params(self, **params: Any) -> None:
        """Prepare for a request; see `UpstreamConnection`."""
        self.held = None
        super().set_response_params(**params)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remember the reason of the loss for a later `bypassed_body`."""
        self.lost = exc if isinstance(exc, Exception) else ConnectionResetError()
        super().connection_lost(exc)

    def body_ended(self, *, reusable: bool) -> None:
        """End the body that bypassed the parser."""
        self.held = None
        if not reusable:
            self.force_close()
        self.data_received(_LAST_CHUNK)

    def _receive(self, data: bytes) -> None:
        if self.held is None:
            super()._receive(data)
        else:
            self._hold(data)

    def _start_body(self, head: bytes, rest: bytes) -> None:
        if self._skip_payload or not _is_chunked_event_stream(head):
            super()._start_body(head, rest)
            return
        self.held = [rest] if rest else []
        super()._start_body(head, b"")

    def _hold(self, data: bytes) -> None:
        assert self.held is not None
        self.held.append(data)
        if sum(map(len, self.held)) > HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()


def _is_chunked_event_stream(head: bytes) -> bool:
    """Whether the body is an event stream that only needs chunk decoding."""
    if not _BYPASSED_STATUS.match(head):
        return False
    fields = dict.fromkeys((b"content-type", b"content-encoding", b"transfer-encoding"), b"")
    for name, value in _FIELD.findall(head.lower()):
        if name not in fields or fields[name]:
            return False
        # Strip spaces only, like the parser; a tab would be white space, too.
        fields[name] = value.strip(b" ")
    return (
        fields[b"content-type"].partition(b";")[0].strip() == b"text/event-stream"
        and fields[b"transfer-encoding"] == b"chunked"
        and fields[b"content-encoding"] in {b"", b"identity"}
    )


def bypassed_body(
    client_response: ClientResponse, on_end: Callable[[Exception | None], SluiceError | None]
) -> RawBody | None:
    """Return the response's body if it bypassed the parser; else None."""
    connection = client_response.connection
    handler = None if connection is None else connection.protocol
    if not isinstance(handler, BypassHandler) or handler.held is None:
        return None
    return RawBody(handler, on_end)
