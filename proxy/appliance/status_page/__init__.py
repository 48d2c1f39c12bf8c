"""The status page on the admin port: read-only, without resources from other hosts."""

from __future__ import annotations

import asyncio
from importlib import resources

from aiohttp import web

from proxy import static_pages

_FILES = ("index.html", "style.css", "page.js")


class StatusPage:
    """The page's three files, read at the first request."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def add_to(self, app: web.Application) -> None:
        """Serve the page at `/`."""
        app.router.add_get("/", self._index)
        app.router.add_get("/page/{name}", self._file)

    async def _index(self, _request: web.Request) -> web.Response:
        return await self._response("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        return await self._response(request.match_info["name"])

    async def _response(self, name: str) -> web.Response:
        if not self._files:
            self._files = await asyncio.to_thread(_read)
        if name not in self._files:
            raise web.HTTPNotFound
        headers = {**static_pages.HEADERS, "Content-Type": static_pages.content_type(name)}
        return web.Response(body=self._files[name], headers=headers)


def _read() -> dict[str, bytes]:
    folder = resources.files(__name__)
    return {name: (folder / name).read_bytes() for name in _FILES}
