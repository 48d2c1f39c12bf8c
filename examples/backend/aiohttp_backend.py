"""A backend of one's own before Sluice, for ../browser/: python aiohttp_backend.py [PORT].

The key stays here; put your own login before it. A browser that leaves cancels its handler.
"""

import os
import sys
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web

SLUICE = os.environ.get("SLUICE_URL", "http://127.0.0.1:8080")
MODEL = os.environ.get("SLUICE_MODEL", "demo")
KEY = {"Authorization": f"Bearer {os.environ.get('SLUICE_KEY', 'none')}"}
KEPT = {"Content-Type", "Cache-Control", "Retry-After"}


async def relay(request, method, path, headers=(), **options):
    last = request.headers.get("Last-Event-ID")  # where an EventSource was
    headers = {**KEY, **dict(headers), **({"Last-Event-ID": last} if last else {})}
    options |= {"headers": headers, "timeout": aiohttp.ClientTimeout(None, sock_connect=5)}
    async with aiohttp.request(method, SLUICE + path, **options) as answer:
        kept = {name: value for name, value in answer.headers.items() if name in KEPT}
        response = web.StreamResponse(status=answer.status, headers=kept)
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        except aiohttp.ClientError:
            request.transport.close()  # to return would make the cut look like an end
        return response


async def prompt(request, **options):  # fetch("/api/chat", ...) with {"prompt": "..."}
    messages = [{"role": "user", "content": (await request.json())["prompt"]}]
    body = {"model": MODEL, "stream": True, "messages": messages}
    return await relay(request, "POST", "/v1/chat/completions", json=body, **options)


async def task(request):  # GET listens, as often as it must; DELETE stops the answer
    path = f"/v1/streams/{request.match_info['id']}?ids=1&progress=1"
    return await relay(request, request.method, path)


async def question(request):  # new EventSource("/api/chat?q=...")
    return await relay(
        request, "GET", "/v1/stream", params={"model": MODEL, "q": request.query["q"]}
    )


app = web.Application()
app.router.add_get("/api/chat", question)
app.router.add_post("/api/chat", prompt)
app.router.add_post("/api/chat/create-task", partial(prompt, headers={"Prefer": "respond-async"}))
app.router.add_route("*", "/api/chat/stream/{id:[0-9a-f]{32}}", task)
app.router.add_static("/", Path(__file__).parents[1] / "browser", follow_symlinks=True)
web.run_app(app, port=int((sys.argv[1:] or ["8090"])[0]), handler_cancellation=True, print=None)
