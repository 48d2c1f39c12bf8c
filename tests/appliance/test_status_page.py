"""The status page's files on the admin port; what it shows is seen in a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy import static_pages
from proxy.appliance.status_page import StatusPage


@pytest.fixture
async def url() -> AsyncIterator[str]:
    app = web.Application()
    StatusPage().add_to(app)
    server = TestServer(app)
    await server.start_server()
    yield str(server.make_url("/")).rstrip("/")
    await server.close()


async def test_the_page_and_all_that_it_names(url: str) -> None:
    """With their types, under a policy that lets nothing come from elsewhere."""
    async with aiohttp.ClientSession() as http:
        async with http.get(url + "/") as answer:
            assert answer.content_type == "text/html"
            for name, value in static_pages.HEADERS.items():
                assert answer.headers[name] == value
            text = await answer.text()
        for path in re.findall(r'(?:href|src)="(/page/[^"]+)"', text):
            async with http.get(url + path) as answer:
                assert answer.status == 200
                assert "http" not in (await answer.text()).replace("http://www.w3.org", "")


@pytest.mark.parametrize("path", ["/page/none.js", "/page/__init__.py", "/page/%2e%2e/admin.py"])
async def test_nothing_else_can_be_asked_for(url: str, path: str) -> None:
    """Least of all the code beside it."""
    async with aiohttp.ClientSession() as http, http.get(url + path) as answer:
        assert answer.status == 404
