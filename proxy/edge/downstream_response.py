"""The response to the client. It ends cleanly, truncated, or with a reset connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiohttp import HttpVersion11, hdrs, web
from multidict import CIMultiDict

from proxy.edge.truncated_close import close_truncated
from proxy.errors import SluiceError, body_of, headers_of
from proxy.http.aiohttp_server_internals import HeldHeadResponse
from proxy.record import Family, RequestRecord
from proxy.relay.body_relay import Outcome
from proxy.relay.client_writer import BUFFERED_BYTES, ClientWriter

STREAM_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
"""Headers that keep proxies in front from buffering or transforming events."""
REQUEST_ID = "X-Request-ID"
ANTHROPIC_REQUEST_ID = "Request-Id"
"""The header that Anthropic's SDK exposes as `request_id`."""
_NO_RETRY = {"x-should-retry": "false"}
"""Not in any standard; OpenAI's and Anthropic's SDKs obey it."""


class DownstreamResponse(HeldHeadResponse):
    """A relayed response. Unlike its base class it ends cleanly only if marked as whole."""

    _whole = False
    _client: ClientWriter | None = None
    _transport: asyncio.Transport | None = None

    async def open(self, request: web.Request, first: bytes = b"") -> ClientWriter:
        """Commit: send status, headers and the body's first bytes.

        If the client has disconnected, the returned writer is `left` from the start.
        """
        now = time.monotonic()
        transport = request.transport
        if request.version < HttpVersion11 and hdrs.CONTENT_LENGTH not in self.headers:
            # Such a body is delimited by the close, even if the client asked for keep-alive.
            self.force_close()
        together = first if len(first) <= BUFFERED_BYTES else b""
        try:
            writer = await self.send_head(request, together)
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
        """Note how the body ended; if it is not whole, the connection is closed as truncated."""
        self._whole = outcome.whole

    @property
    def is_whole(self) -> bool:
        """Whether the body has ended cleanly."""
        return self._whole

    async def write_eof(self, data: bytes = b"") -> None:
        """End the body if it is whole; else raise `ConnectionResetError`: aiohttp disconnects."""
        if not self._whole:
            if self._client is not None and self._transport is not None:
                unframed = not self._is_chunked() and hdrs.CONTENT_LENGTH not in self.headers
                await close_truncated(self._transport, self._client, reset=unframed)
            raise ConnectionResetError("The response ended prematurely.")
        await super().write_eof(data)

    def _is_chunked(self) -> bool:
        return self.headers.get(hdrs.TRANSFER_ENCODING, "").lower() == "chunked"


def error_response(error: SluiceError, record: RequestRecord) -> web.Response:
    """Build a JSON error response in the family's own shape."""
    return web.Response(
        status=error.fault.status,
        body=body_of(error, record.family, record.request_id),
        content_type="application/json",
        headers=headers_of(error) | ids_of(record) | no_retry(record, error.fault.status),
    )


def no_retry(record: RequestRecord, status: int, *, asks_to_wait: bool = False) -> dict[str, str]:
    """Return the header that keeps an SDK from retrying what Sluice has already retried.

    Retries on both sides multiply: three attempts here for each of the SDK's three. If the upstream
    itself sent `Retry-After`, the SDK may follow it.
    """
    if status < 400 or record.attempts < 2 or asks_to_wait:
        return {}
    return _NO_RETRY


def ids_of(record: RequestRecord) -> dict[str, str]:
    """Return the request id under each header name that the family's clients look for."""
    ids = {REQUEST_ID: record.request_id}
    if record.family is Family.MESSAGES:
        ids[ANTHROPIC_REQUEST_ID] = record.request_id
    return ids


def stream_headers(extra: Mapping[str, str], record: RequestRecord) -> CIMultiDict[str]:
    """Return the headers of an event stream that is committed before the upstream answers."""
    headers = CIMultiDict(extra)
    headers.update(STREAM_HEADERS)
    headers[hdrs.CONTENT_TYPE] = "text/event-stream; charset=utf-8"
    headers.update(ids_of(record))
    return headers


def hang_up(request: web.Request) -> None:
    """Abort the connection, discarding unsent data."""
    # No isinstance check: uvloop's transports do not derive from asyncio's.
    if request.transport is not None:
        request.transport.abort()
