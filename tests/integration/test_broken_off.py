"""A cut stream never looks finished: the family's error event comes, and then no clean end."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.appliances import Appliance, trusting
from tests.integration.conftest import StartWorker, Worker
from tests.integration.faults.asking import ASKINGS, BY_FAMILY, CHAT, Asking
from tests.integration.http2 import Http2
from tests.integration.raw import request

SLOW = {"model": "demo;rate=30;tokens=30", "stream": True, "messages": []}


def naive(url: str, asking: Asking, words: str, verify: ssl.SSLContext | bool = True) -> list[str]:
    """What most tutorials teach: take lines, skip what has no choices, and ask nothing else."""
    texts: list[str] = []
    fields = {"Content-Type": asking.content_type, "X-Demo": words}
    with (
        httpx.Client(verify=verify, timeout=20, http2=verify is not True) as client,
        client.stream("POST", url + asking.target, content=asking.body, headers=fields) as answer,
    ):
        for line in answer.iter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            event: dict[str, Any] = json.loads(line.removeprefix("data: "))
            texts += [
                choice.get("delta", {}).get("content", "") for choice in event.get("choices", [])
            ]
    return texts


@pytest.mark.parametrize("asking", ASKINGS, ids=lambda asking: str(asking.family))
async def test_a_reader_of_lines(front: Worker, asking: Asking) -> None:
    """It need not know any error event: its HTTP client raises."""
    with pytest.raises(httpx.RemoteProtocolError):
        await asyncio.to_thread(naive, front.url, asking, "cut=4")
    await asyncio.to_thread(naive, front.url, asking, "tokens=3")


@pytest.mark.parametrize("asking", ASKINGS, ids=lambda asking: str(asking.family))
async def test_a_reader_of_lines_over_http2(appliance: Appliance, asking: Asking) -> None:
    """The same by nginx over TLS."""
    with pytest.raises(httpx.RemoteProtocolError):
        await asyncio.to_thread(naive, appliance.tls_url, asking, "cut=4", trusting())
    await asyncio.to_thread(naive, appliance.tls_url, asking, "tokens=3", trusting())


async def test_only_that_stream_of_a_connection_ends(appliance: Appliance) -> None:
    """By HTTP/2 the error event comes, then the reset of this stream; its siblings go on."""
    path = "/v1/chat/completions"
    async with await Http2.open(appliance.tls_port, trusting()) as browser:
        staying = browser.post(path, json.dumps(SLOW).encode())
        await browser.until(staying, b"content")
        for words in ("cut=4", "cut-inside=3", "cut-reset=3;rate=500", "cut-clean=2"):
            cut = browser.post(path, CHAT.body, ("x-demo", words))
            body = await browser.broken_off(cut)
            assert body.endswith(b"}\n\n")
            assert b'"code": "upstream_cut"' in body
            assert b"[DONE]" not in body
        assert (await browser.whole(staying)).endswith(b"data: [DONE]\n\n")


async def test_an_upstreams_own_error_ends_as_the_upstream_ended_it(appliance: Appliance) -> None:
    """It is the upstream's word, followed by the upstream's clean end: nothing is taken from it."""
    async with await Http2.open(appliance.tls_port, trusting()) as browser:
        sent = browser.post("/v1/chat/completions", CHAT.body, ("x-demo", "error=3"))
        assert b'"error"' in await browser.whole(sent)


def until_it_ends(url: str, data: bytes) -> tuple[bytes, bool]:
    """All that a bare socket reads, and whether a reset ended it."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    text = b""
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=20) as line:
        line.sendall(data)
        try:
            while part := line.recv(65536):
                text += part
        except ConnectionResetError:
            return text, True
    return text, False


async def test_a_client_of_http_1_0(start_worker: StartWorker) -> None:
    """Only the close ends its body, so a worker that cuts it resets, after the error event."""
    worker = await start_worker()
    for family in BY_FAMILY:
        asking = BY_FAMILY[family]
        fields = [("Content-Type", asking.content_type), ("X-Demo", "cut=4")]
        data = request("POST", asking.target, asking.body, fields, version="1.0")
        text, reset = await asyncio.to_thread(until_it_ends, worker.url, data)
        assert reset
        assert b"(request " in text
        assert text.endswith(b"}\n\n")
    data = request("POST", CHAT.target, CHAT.body, [("Content-Type", "application/json")])
    whole = data.replace(b"HTTP/1.1", b"HTTP/1.0")
    text, reset = await asyncio.to_thread(until_it_ends, worker.url, whole)
    assert not reset
    assert text.endswith(b"data: [DONE]\n\n")
