"""Requests for the tests of this room."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

CHAT = "/v1/chat/completions"


def chat(model: str = "demo;tokens=3", *, stream: bool = True, **more: Any) -> dict[str, Any]:
    """The body of a chat request."""
    messages = [{"role": "user", "content": "Hello"}]
    return {"model": model, "stream": stream, "messages": messages} | more


async def ask(url: str, body: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and whole body of the answer to one chat request."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(url + CHAT, json=body, headers=headers) as answer,
    ):
        return answer.status, dict(answer.headers), await answer.read()


async def ask_in_vain(url: str, body: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """The same for an answer that breaks off: its body as far as it came."""
    text = b""
    async with (
        aiohttp.ClientSession() as http,
        http.post(url + CHAT, json=body, headers=headers) as answer,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            while part := await answer.content.readany():
                text += part
        return answer.status, dict(answer.headers), text
