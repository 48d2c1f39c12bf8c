"""The relay that everybody writes first: aiohttp in, aiohttp out, thirty lines."""

import sys

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

UPSTREAM = f"http://{sys.argv[2]}"
SESSION = web.AppKey("session", ClientSession)


async def relay(request: web.Request) -> web.StreamResponse:
    """Asks the upstream the same, and writes what it answers."""
    body = await request.read()
    headers = {"Content-Type": "application/json", "Accept": request.headers.get("Accept", "*/*")}
    url = UPSTREAM + request.path_qs
    async with request.app[SESSION].request(
        request.method, url, data=body, headers=headers
    ) as answer:
        response = web.StreamResponse(status=answer.status)
        response.content_type = answer.content_type
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        return response


async def start(app: web.Application) -> None:
    """Opens the pool."""
    app[SESSION] = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None))


app = web.Application()
app.on_startup.append(start)
app.router.add_route("*", "/{path:.*}", relay)
uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
