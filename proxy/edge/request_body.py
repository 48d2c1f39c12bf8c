"""Reads a whole request body, so that it can be retried, in bounded memory and time."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, hdrs, web

from proxy.edge.body_memory import Hold
from proxy.errors import BodyTooLarge
from proxy.http.aiohttp_server_internals import send_continue
from proxy.request_errors import BodyTooSlow

SLOWEST_BYTES_A_SECOND = 4096
"""The deadline moves by a second per so many bytes received; a slower client times out."""
_FIRST_BYTES = 64 * 1024
"""The first reservation of a body without Content-Length; it doubles as the body grows."""


async def read(request: web.Request, hold: Hold, *, max_bytes: int, seconds: float) -> bytes:
    """Read the whole body of at most `max_bytes`, accounted for by `hold`.

    aiohttp's own `read` would keep the body as long as the request, and so as long as its stream.
    Raises `BodyTooLarge`, `BodyTooSlow`, and `Overloaded` if there is no memory for it.
    """
    declared = request.content_length
    if declared is not None and declared > max_bytes:
        raise _too_large(max_bytes)
    if not request.body_exists:
        return b""
    await hold.take(min(_FIRST_BYTES, max_bytes) if declared is None else declared)
    await _ask_for_it(request)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _all(request, hold, max_bytes, limit, seconds)
    except TimeoutError:
        raise BodyTooSlow(f"The body did not arrive within {seconds:g} s.") from None


async def _all(
    request: web.Request, hold: Hold, max_bytes: int, limit: asyncio.Timeout, seconds: float
) -> bytes:
    loop = asyncio.get_running_loop()
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        if size > hold.size:
            await _grow(hold, size, max_bytes, limit)
        due = limit.when()
        assert due is not None
        # Capped: otherwise a client could send much, stop, and hold the memory for hours.
        limit.reschedule(min(due + len(part) / SLOWEST_BYTES_A_SECOND, loop.time() + seconds))
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _grow(hold: Hold, size: int, max_bytes: int, limit: asyncio.Timeout) -> None:
    """Wait for memory; the client's deadline is suspended meanwhile."""
    due = limit.when()
    assert due is not None
    limit.reschedule(None)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await hold.take(max(size, min(2 * size, max_bytes)) - hold.size)
    limit.reschedule(due + loop.time() - began)


async def _ask_for_it(request: web.Request) -> None:
    """Send `100 Continue` if the client expects it (RFC 9110, 10.1.1), now that there is memory."""
    expected = request.headers.get(hdrs.EXPECT, "").lower()
    if expected == "100-continue" and request.version == HttpVersion11:
        await send_continue(request)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_bytes} bytes.")
