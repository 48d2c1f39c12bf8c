"""Operations on a server's request or response for which aiohttp documents no way."""

from __future__ import annotations

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter


def has_begun(request: web.BaseRequest) -> bool:
    """Whether bytes of the response have been written, so that another head must not follow."""
    return request.writer.output_size > 0


async def send_continue(request: web.BaseRequest) -> None:
    """Send `100 Continue` (RFC 9110, 15.2.1), which is no part of the response."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0


def answer_in_http11(request: web.BaseRequest) -> None:
    """Write the status line for HTTP/1.1: aiohttp repeats the request's version, spoken or not."""
    request._cache["version"] = HttpVersion11  # noqa: SLF001 no public way


class HeldHeadResponse(web.StreamResponse):
    """A response whose head can leave in one write with the first bytes of the body."""

    _send_headers_immediately = False
    """aiohttp's switch: `prepare` leaves the head in the writer."""

    async def send_head(self, request: web.Request, first: bytes = b"") -> AbstractStreamWriter:
        """Send the head and `first` in one write. Raises `ConnectionError` if the client left."""
        writer = await self.prepare(request)
        assert writer is not None
        if first:
            await writer.write(first)
        else:
            writer.send_headers()
        return writer
