"""A key's rights, wherever a request names its model."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.edge.asking import CHAT, chat
from tests.integration.conftest import Demo, StartWorker, Worker

KEY = {"x-api-key": "sk-a"}
FORM = "multipart/form-data; boundary=b"


def _form(model: str) -> str:
    head = "Content-Disposition: form-data; name="
    file = f'{head}"file"; filename="a"\r\n\r\nx'
    return f'--b\r\n{file}\r\n--b\r\n{head}"model"\r\n\r\n{model}\r\n--b--\r\n'


async def started(start: StartWorker, **rights: Any) -> Worker:
    return await start(keys=({"name": "a", "key": "sk-a", **rights},))


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("POST", CHAT, chat("other"), {}),
        ("POST", CHAT, {"messages": []}, {}),
        ("POST", "/v1/embeddings", {"model": "other", "input": "x"}, {}),
        ("POST", "/v1/embeddings", b"\x1f\x8b", {"Content-Encoding": "gzip"}),
        ("POST", "/v1/audio/transcriptions", _form("other"), {"Content-Type": FORM}),
        ("GET", "/v1/models/other", None, {}),
        ("POST", "/v1beta/models/other:countTokens", {}, {}),
        ("POST", "/v1beta/models/o%74her:generateContent", {"contents": []}, {}),
        ("GET", "/v1/realtime?model=other", None, {}),
    ],
)
async def test_a_model_that_is_not_allowed(
    start_worker: StartWorker, demo: Demo, method: str, path: str, body: Any, headers: Any
) -> None:
    """403 that says which are, and nothing reaches the upstream."""
    worker = await started(start_worker, models=["demo*"])
    data = json.dumps(body) if isinstance(body, dict) else body
    asked = {"Content-Type": "application/json", **KEY, **headers}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, worker.url + path, data=data, headers=asked) as answer,
    ):
        assert answer.status == 403
        assert "demo*" in await answer.text() or "compressed" in await answer.text()
    assert demo.state.seen == 0


async def test_what_is_allowed(start_worker: StartWorker) -> None:
    """The model in a form is found, and let through."""
    worker = await started(start_worker, models=["demo*", "whisper-1"])
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            worker.url + "/v1/audio/transcriptions",
            data=_form("whisper-1"),
            headers={"Content-Type": FORM, **KEY},
        ) as answer,
    ):
        assert answer.status != 403


@pytest.mark.parametrize("path", ["/v1/files", "/v1/%66iles", "/v1/chat%2Fx/../files"])
async def test_a_route_that_is_not_allowed(
    start_worker: StartWorker, demo: Demo, path: str
) -> None:
    """However it is written."""
    worker = await started(start_worker, routes=["/v1/chat/*"])
    async with aiohttp.ClientSession() as http:
        url = URL(worker.url + path, encoded=True)
        async with http.get(url, headers=KEY) as answer:
            assert answer.status in {400, 403}
    assert demo.state.seen == 0
