"""Reads a request's body whole, so that it can be sent again, in bounded memory and time."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, hdrs, web

from proxy.edge.body_memory import Hold
from proxy.errors import BodyTooLarge
from proxy.refusals import BodyTooSlow

SLOWEST_BYTES_A_SECOND = 4096
"""Each so many bytes buy a body a second more, up to its time; a drip buys none."""
_FIRST_BYTES = 64 * 1024
"""What a body without a length is given at first; each time it has grown into that, it doubles."""


async def read(request: web.Request, hold: Hold, *, most: int, seconds: float) -> bytes:
    """All of the body, of at most so many bytes, held by `hold`.

    aiohttp's own `read` would keep it for as long as the request lives, and that is as long as
    its stream. Raises `BodyTooLarge`, `BodyTooSlow`, and `Overloaded` where there is no memory.
    """
    declared = request.content_length
    if declared is not None and declared > most:
        raise _too_large(most)
    if not request.body_exists:
        return b""
    await hold.take(min(_FIRST_BYTES, most) if declared is None else declared)
    await _ask_for_it(request)
    try:
        async with asyncio.timeout(seconds) as limit:
            return await _all(request, hold, most, limit, seconds)
    except TimeoutError:
        raise BodyTooSlow(f"The body did not come within {seconds:g} s, nor fast after.") from None


async def _all(
    request: web.Request, hold: Hold, most: int, limit: asyncio.Timeout, seconds: float
) -> bytes:
    loop = asyncio.get_running_loop()
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        if size > hold.size:
            await _grow(hold, size, most, limit)
        due = limit.when()
        assert due is not None
        # Not saved up: who has sent much and then stops would hold it for hours.
        limit.reschedule(min(due + len(part) / SLOWEST_BYTES_A_SECOND, loop.time() + seconds))
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _grow(hold: Hold, size: int, most: int, limit: asyncio.Timeout) -> None:
    """Wait for room; that time is not the client's."""
    due = limit.when()
    assert due is not None
    limit.reschedule(None)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await hold.take(max(size, min(2 * size, most)) - hold.size)
    limit.reschedule(due + loop.time() - began)


async def _ask_for_it(request: web.Request) -> None:
    """Tell a client that waits for it to go on (RFC 9110, 10.1.1): not before there is room."""
    expected = request.headers.get(hdrs.EXPECT, "").lower()
    if expected == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # It is no part of the answer that follows.
        request.writer.output_size = 0


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {most} bytes.")
