"""The answer that goes to the client, and the three ways it can end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict

from proxy.edge.breaking import break_off
from proxy.errors import SluiceError, body_of, headers_of
from proxy.record import Family, RequestRecord
from proxy.relay.client_writer import BUFFERED_BYTES, ClientWriter
from proxy.relay.pump import Outcome

STREAM_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
"""What keeps whatever stands in front from holding events back."""
REQUEST_ID = "X-Request-ID"
ANTHROPIC_REQUEST_ID = "Request-Id"
"""Where Anthropic's SDK looks for what it calls `request_id`."""
_NO_RETRY = {"x-should-retry": "false"}
"""In no standard; OpenAI's and Anthropic's SDKs do as it says."""


class DownstreamResponse(web.StreamResponse):
    """A relayed answer. Unlike its parent it does not end cleanly unless told that it is whole."""

    _whole = False
    _client: ClientWriter | None = None
    _transport: asyncio.Transport | None = None
    _send_headers_immediately = False
    """aiohttp's own word for a head that waits for the first bytes; they share one write then."""

    async def open(self, request: web.Request, first: bytes = b"") -> ClientWriter:
        """Send status, headers and the body's first bytes: the commit.

        A client that has gone is `left` from the start.
        """
        now = time.monotonic()
        transport = request.transport
        if request.version < HttpVersion11 and hdrs.CONTENT_LENGTH not in self.headers:
            # Only the close can end such a body, even where the client would keep the connection.
            self.force_close()
        together = first if len(first) <= BUFFERED_BYTES else b""
        try:
            writer = await self.prepare(request)
            assert writer is not None
            if together:
                await writer.write(together)
            else:
                writer.send_headers()
        except ConnectionError:
            return ClientWriter.gone(now)
        if transport is None:
            return ClientWriter.gone(now)
        chunked = self._is_chunked()
        client = ClientWriter(transport, writer, chunked=chunked, now=now, sent=len(together))
        if not together:
            client.write(first, now)
        client.began_at = time.monotonic() if first else None
        self._client, self._transport = client, transport
        return client

    def end(self, outcome: Outcome) -> None:
        """How the body ended; if it is not whole, the connection is broken off after it."""
        self._whole = outcome.whole

    @property
    def is_whole(self) -> bool:
        """Whether the body has ended, and cleanly."""
        return self._whole

    async def write_eof(self, data: bytes = b"") -> None:
        """End the body cleanly, or else raise `ConnectionResetError`, at which aiohttp hangs up."""
        if not self._whole:
            if self._client is not None and self._transport is not None:
                unframed = not self._is_chunked() and hdrs.CONTENT_LENGTH not in self.headers
                await break_off(self._transport, self._client, reset=unframed)
            raise ConnectionResetError("The answer ended before its end.")
        await super().write_eof(data)

    def _is_chunked(self) -> bool:
        return self.headers.get(hdrs.TRANSFER_ENCODING, "").lower() == "chunked"


def error_response(error: SluiceError, record: RequestRecord) -> web.Response:
    """The error as a JSON answer in the family's own shape."""
    return web.Response(
        status=error.fault.status,
        body=body_of(error, record.family, record.request_id),
        content_type="application/json",
        headers=headers_of(error) | ids_of(record) | no_retry(record, error.fault.status),
    )


def no_retry(record: RequestRecord, status: int, *, asks_to_wait: bool = False) -> dict[str, str]:
    """The header that keeps an SDK from repeating what Sluice has repeated already.

    Retries on both sides multiply: three attempts here for each of three of the SDK's. An upstream
    that itself says when to come back is taken at its word.
    """
    if status < 400 or record.attempts < 2 or asks_to_wait:
        return {}
    return _NO_RETRY


def ids_of(record: RequestRecord) -> dict[str, str]:
    """The request id under each name by which the family's clients look for it."""
    ids = {REQUEST_ID: record.request_id}
    if record.family is Family.MESSAGES:
        ids[ANTHROPIC_REQUEST_ID] = record.request_id
    return ids


def stream_headers(extra: Mapping[str, str], record: RequestRecord) -> CIMultiDict[str]:
    """The headers of an event stream that Sluice begins itself, before the upstream has."""
    headers = CIMultiDict(extra)
    headers.update(STREAM_HEADERS)
    headers[hdrs.CONTENT_TYPE] = "text/event-stream; charset=utf-8"
    headers.update(ids_of(record))
    return headers


def hang_up(request: web.Request) -> None:
    """Close the connection at once, whatever still waits to be sent on it."""
    # Not asked by its class: uvloop's transports are none of asyncio's.
    if request.transport is not None:
        request.transport.abort()
