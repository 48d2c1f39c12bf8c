"""Serves the playground's files in a worker that runs alone; behind nginx, nginx does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from proxy import static_pages


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    content_type: str


class Playground:
    """The page's files, cached in memory from the first request on."""

    def __init__(self) -> None:
        self._files: Mapping[str, _File] | None = None

    def add_to(self, app: web.Application) -> None:
        """Add the page's routes, and a redirect from `/`."""
        app.router.add_get(static_pages.PLAYGROUND + "{path:.*}", self.get)
        app.router.add_get("/", _to_playground)

    async def get(self, request: web.Request) -> web.Response:
        """Serve one file. Raises `HTTPNotFound`."""
        if self._files is None:
            self._files = await asyncio.to_thread(_read_all)
        file = self._files.get(request.match_info["path"] or static_pages.INDEX)
        if file is None:
            raise web.HTTPNotFound
        headers = {**static_pages.HEADERS, "Content-Type": file.content_type}
        return web.Response(body=file.body, headers=headers)


def _read_all() -> Mapping[str, _File]:
    return {
        path: _File(entry.read_bytes(), static_pages.content_type(path))
        for path, entry in static_pages.files("playground").items()
    }


async def _to_playground(_request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": static_pages.PLAYGROUND})
