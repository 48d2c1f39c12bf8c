"""The playground's files from a worker that runs alone."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from proxy import static_pages
from tests.integration.conftest import StartWorker


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/playground/", "text/html; charset=utf-8"),
        ("/playground/main.js", "text/javascript; charset=utf-8"),
        ("/playground/vendor/streaming-markdown.js", "text/javascript; charset=utf-8"),
    ],
)
async def test_a_file(start_worker: StartWorker, path: str, kind: str) -> None:
    """With its type and the page's policy."""
    worker = await start_worker(playground="on")
    async with aiohttp.ClientSession() as http, http.get(worker.url + path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == kind
        for name, value in static_pages.HEADERS.items():
            assert answer.headers[name] == value


async def test_from_the_root_to_the_page(start_worker: StartWorker) -> None:
    """Who opens the address alone is led there."""
    worker = await start_worker(playground="on")
    async with aiohttp.ClientSession() as http, http.get(worker.url + "/") as answer:
        assert answer.url.path == "/playground/"
        assert answer.status == 200


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"playground": "off"}, "/playground/"),
        ({}, "/playground/"),
        ({"playground": "on"}, "/playground/none.js"),
        ({"playground": "on"}, "/playground/../settings.py"),
        ({"playground": "on"}, "/playground/%2e%2e/settings.py"),
    ],
)
async def test_what_is_not_there(
    start_worker: StartWorker, settings: dict[str, Any], path: str
) -> None:
    """404 in JSON, like any unknown path; nothing outside the page can be asked for."""
    worker = await start_worker(**settings)
    async with aiohttp.ClientSession() as http, http.get(worker.url + path) as answer:
        assert answer.status in {400, 404}
