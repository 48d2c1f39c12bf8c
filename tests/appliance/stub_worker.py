"""A worker in miniature: what nginx and the supervisor need of one, and faults on request.

Called as `stub_worker.py SOCKET INDEX WORKERS`; the environment variable `STUB` says how it
misbehaves.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time

from aiohttp import web

INHERITED = ("--listen-fd", "--heartbeat-fd")
_draining = asyncio.Event()
_release = asyncio.Event()


async def ready(_request: web.Request) -> web.Response:
    """What the supervisor asks."""
    return web.json_response({}, status=503 if _draining.is_set() else 200)


async def status(_request: web.Request) -> web.Response:
    """What only the supervisor may ask."""
    return web.json_response(
        {
            "pid": os.getpid(),
            "streams": len(_running),
            "waiting": 0,
            "reload": {"generation": 10**6, "complaint": None},
        }
    )


_running: list[web.Request] = []


async def stream(request: web.Request) -> web.StreamResponse:
    """Events until the query's count is reached; then an end, a cut, or a wait for release."""
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "max-age=5",
            "X-Accel-Buffering": "yes",
            "X-Accel-Redirect": "/healthz",
            "Access-Control-Allow-Origin": "https://of-the-upstream.example",
            "X-Request-ID": request.headers["X-Request-ID"],
        }
    )
    await response.prepare(request)
    _running.append(request)
    try:
        for number in range(int(request.query.get("events", "3"))):
            await response.write(f"data: {number}\n\n".encode())
        if request.query.get("then") == "hold":
            await _release.wait()
            await response.write(b"data: released\n\n")
        if request.query.get("then") == "cut" and request.transport is not None:
            request.transport.abort()
    finally:
        _running.remove(request)
    return response


async def release(_request: web.Request) -> web.Response:
    """Let the held streams end."""
    _release.set()
    return web.Response()


async def die(_request: web.Request) -> web.Response:
    """End in the middle of a request, as a crash does."""
    os._exit(7)


async def echo(request: web.Request) -> web.Response:
    """What of the request arrived."""
    try:
        body = len(await request.read())
    except ConnectionResetError:
        body = -1
    document = {
        "pid": os.getpid(),
        "method": request.method,
        "path": request.raw_path,
        "headers": dict(request.headers),
        "body": body,
    }
    return web.json_response(
        document,
        status=int(request.query.get("status", "200")),
        headers={"X-Request-ID": request.headers.get("X-Request-ID", "")},
    )


async def serve(listening: socket.socket, heartbeat: int) -> None:
    """Serve until SIGUSR1, then until the streams have ended."""
    app = web.Application(client_max_size=1024**3)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/internal/status", status)
    app.router.add_get("/v1/held", stream)
    app.router.add_get("/v1/release", release)
    app.router.add_route("*", "/v1/die", die)
    app.router.add_post("/v1/block", block)
    app.router.add_route("*", "/{tail:.*}", echo)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    loop = asyncio.get_running_loop()
    await web.SockSite(runner, listening).start()
    beat(heartbeat)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGUSR1, _draining.set)
    await _draining.wait()
    while _running:
        await asyncio.sleep(0.01)
    await runner.cleanup()


def beat(heartbeat: int) -> None:
    """What the supervisor feels, as a worker's own."""
    os.write(heartbeat, b".")
    asyncio.get_running_loop().call_later(0.05, beat, heartbeat)


async def block(_request: web.Request) -> web.Response:
    """Hold the event loop up, as a defect would."""
    time.sleep(3600)  # noqa: ASYNC251 the defect
    return web.Response()


if __name__ == "__main__":
    misbehaviour = json.loads(os.environ.get("STUB", "{}"))
    if misbehaviour.get("dies_at_start"):
        sys.exit("the model of the year is missing")
    if misbehaviour.get("never_ready"):
        time.sleep(60)
    listening, heartbeat = (int(sys.argv[sys.argv.index(name) + 1]) for name in INHERITED)
    asyncio.run(serve(socket.socket(fileno=listening), heartbeat))
