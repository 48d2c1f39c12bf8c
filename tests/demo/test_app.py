from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from proxy.demo.app import create_app
from proxy.demo.plan import Plan
from tests.demo.peer import body_for, call, request

if TYPE_CHECKING:
    from tests.demo.conftest import Demo


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/v1/nothing"), ("DELETE", "/v1/chat/completions"), ("GET", "/"), ("PUT", "/v1/x?y")],
)
async def test_routes_that_are_not_there(demo: Demo, method: str, target: str) -> None:
    """They are a 404 in OpenAI's shape that names method and path."""
    heard = await call(demo.port, request(target, method=method))
    error = heard.json()["error"]
    assert heard.status == 404
    assert method in error["message"]
    assert error["code"] is None


@pytest.mark.parametrize("prefix", ["", "/v1", "/odd/path", "/openai/deployments/gpt/v2"])
async def test_families_under_any_prefix(demo: Demo, prefix: str) -> None:
    """Compatible servers have odd paths, and so may the demo."""
    _, body = body_for("chat", "tokens=1")
    heard = await call(demo.port, request(f"{prefix}/chat/completions", body))
    assert heard.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("target", "headers", "name"),
    [
        ("/v1/models", {}, '"object": "list"'),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, '"has_more": false'),
        ("/v1beta/models", {}, '"name": "models/demo"'),
        ("/v1/models/demo-fast", {}, '"id": "demo-fast"'),
        ("/v1/models/demo;rate=50", {}, '"id": "demo;rate=50"'),
        ("/v1/models/demo", {"anthropic-version": "2023-06-01"}, '"display_name": "Demo"'),
    ],
)
async def test_models(demo: Demo, target: str, headers: dict[str, str], name: str) -> None:
    """Each provider's client finds the models in its own shape."""
    heard = await call(demo.port, request(target, method="GET", headers=headers))
    assert heard.status == 200
    assert name.replace(": ", ":") in heard.body.decode()


@pytest.mark.parametrize("headers", [{}, {"anthropic-version": "2023-06-01"}])
async def test_a_model_that_is_not_there(demo: Demo, headers: dict[str, str]) -> None:
    """It is a 404 that names it, in the shape of whoever asks."""
    heard = await call(demo.port, request("/v1/models/gpt-9", method="GET", headers=headers))
    assert heard.status == 404
    assert "gpt-9" in heard.json()["error"]["message"]
    assert (heard.json().get("type") == "error") == bool(headers)


async def test_health(demo: Demo) -> None:
    """Whoever starts the demo can see when it is up."""
    heard = await call(demo.port, request("/healthz", method="GET"))
    assert (heard.status, heard.json()) == (200, {"status": "ok"})


async def test_defaults_of_ones_own() -> None:
    """The application answers by the plan it was made with."""
    server = TestServer(create_app(defaults=Plan(tokens=2)))
    await server.start_server()
    target, body = body_for("chat", "")
    async with (
        aiohttp.ClientSession() as session,
        session.post(server.make_url(target), data=body) as answer,
    ):
        text = await answer.text()
    await server.close()
    assert text.count('"content":') == 1 + 2


async def test_the_end_does_not_wait_for_streams(demo: Demo) -> None:
    """Open streams are cut when the server ends; nobody waits for a stream that hangs."""
    heard = asyncio.ensure_future(call(demo.port, request(*body_for("chat", "hang=1"))))
    await demo.state.until(lambda state: bool(state.calls) and state.calls[0].events == 1)
    started = time.monotonic()
    await demo.runner.cleanup()
    assert time.monotonic() - started < 1
    assert not (await heard).whole
