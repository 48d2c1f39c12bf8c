"""Timed events, by which `sluice selftest` detects a proxy in front that buffers them."""

from __future__ import annotations

import asyncio
import json
import time

from aiohttp import web

from proxy.edge.downstream_response import STREAM_HEADERS

EVENTS = 10
INTERVAL_SECONDS = 0.2


async def stream(request: web.Request) -> web.StreamResponse:
    """Send ten events, 0.2 s apart, each with its number and the time it was sent.

    A browser's EventSource reconnects at the end, with the last number it saw: 204 tells it to stop
    (WHATWG HTML, 9.2.3).
    """
    if "Last-Event-ID" in request.headers:
        return web.Response(status=204)
    response = web.StreamResponse(headers=STREAM_HEADERS)
    response.content_type = "text/event-stream"
    await response.prepare(request)
    start = time.monotonic()
    for number in range(EVENTS):
        document = {"number": number, "of": EVENTS, "seconds": round(time.monotonic() - start, 4)}
        await response.write(f"id: {number}\ndata: {json.dumps(document)}\n\n".encode())
        if number < EVENTS - 1:
            await asyncio.sleep(INTERVAL_SECONDS)
    return response
