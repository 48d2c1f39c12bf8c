"""What a client sends arrives at the upstream as it was sent."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from tests.integration.conftest import StartWorker, Worker
from tests.integration.raw import Fields, Line, exchange, post_json, request
from tests.upstream.peer import Peer, plain, serves

EVERY_BYTE = bytes(range(256)) * 40
LARGE = hashlib.shake_128(b"large").digest(20 * 1024 * 1024)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


def sha(data: bytes) -> dict[str, Any]:
    """A body as the echo tells of it."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def arrived(echo: Any) -> CIMultiDict[str]:
    """The header fields that reached the upstream."""
    return CIMultiDict(echo["headers"])


@pytest.mark.parametrize("method", METHODS)
async def test_every_method_passes(front: Worker, method: str) -> None:
    """The upstream sees the client's own method, whether Sluice has a use for it or not."""
    answer = await exchange(front.url, request(method, "/v1/echo"), method=method)
    assert answer.status == 200
    assert answer.json()["method"] == method
    assert answer.json()["body"] == sha(b"")


@pytest.mark.parametrize(
    "target",
    [
        "/v1/echo?q=%20a+b&empty=&&k=%2526&again=1&again=2",
        "/v1/a%2Fb/%C3%A9t%C3%A9/%7Euser/echo?url=https%3A%2F%2Fexample.com%2F%3Fx%3D1",
        "/v1/models/org%2Fmodel:latest/echo?;semi;colons&plus=%2B",
        "/v1//echo",
        "/v1beta/echo?alt=sse&key2=a'b(c)*!$,@:/?",
    ],
)
async def test_path_and_query_arrive_as_they_were_written(front: Worker, target: str) -> None:
    """No percent-encoding is added, taken away or put in another case; no parameter is lost."""
    answer = await exchange(front.url, request("GET", target))
    assert answer.json()["target"] == target


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", []),
        (b'{"a": 1,\n "b": "\\u00e9\xc3\xa9" }', [("Content-Type", "application/json")]),
        (b"this is { no JSON", [("Content-Type", "text/plain")]),
        (EVERY_BYTE, [("Content-Type", "application/octet-stream")]),
        (gzip.compress(EVERY_BYTE), [("Content-Encoding", "gzip")]),
        (b"not compressed at all", [("Content-Encoding", "gzip")]),
        (b"\x28\xb5\x2f\xfd of another coding", [("Content-Encoding", "zstd")]),
    ],
    ids=["empty", "json", "text", "binary", "gzip", "no-gzip", "zstd"],
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_arrives_byte_for_byte(
    front: Worker, body: bytes, fields: Fields, framing: str
) -> None:
    """Whatever is in it and however it is framed, and its own headers with it."""
    sent = request("POST", "/v1/echo", body, fields)
    if framing == "chunked":
        halves = [half for half in (body[: len(body) // 2], body[len(body) // 2 :]) if half]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(half), half) for half in halves) + b"0\r\n\r\n"
        sent = request("POST", "/v1/echo", b"", [*fields, ("Transfer-Encoding", "chunked")])
        sent = sent.replace(b"Content-Length: 0\r\n", b"") + chunks
    answer = await exchange(front.url, sent)
    assert answer.status == 200, answer.body
    assert answer.json()["body"] == sha(body)
    seen = arrived(answer.json())
    for name, value in fields:
        assert seen.getall(name) == [value]
    assert "Transfer-Encoding" not in seen
    assert seen.get("Content-Length", "0") == str(len(body))


async def test_a_large_body_arrives_whole(front: Worker, http: aiohttp.ClientSession) -> None:
    """Twenty megabytes, sent piece by piece without a length."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 100_000):
            yield LARGE[start : start + 100_000]

    async with http.put(f"{front.url}/v1/echo", data=pieces()) as answer:
        assert (await answer.json())["body"] == sha(LARGE)


async def test_a_multipart_upload_arrives_part_by_part(
    front: Worker, http: aiohttp.ClientSession
) -> None:
    """A file upload keeps its boundary, its file names and its bytes."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("purpose", "fine-tune")
    form.add_field("file", EVERY_BYTE, filename="ein Größe.bin", content_type="audio/wav")
    async with http.post(f"{front.url}/v1/files", data=form) as answer:
        stored = await answer.json()
    assert answer.status == 200
    assert stored["purpose"] == "fine-tune"
    assert stored["filename"] == "ein Größe.bin"
    assert {name: stored[name] for name in ("bytes", "sha256")} == sha(EVERY_BYTE)


@pytest.mark.parametrize("size", [10, 3 * 1024 * 1024])
async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(
    front: Worker, size: int
) -> None:
    """`Expect: 100-continue` is answered here and ends here (RFC 9110, 10.1.1)."""
    body = b"x" * size
    sent = request("POST", "/v1/echo", body, [("Expect", "100-continue")])
    head, _, _ = sent.partition(b"\r\n\r\n")
    async with await Line.open(front.url) as line:
        assert (await line.ask(head + b"\r\n\r\n")).status == 100
        answer = await line.whole(body)
    assert answer.json()["body"] == sha(body)
    assert "Expect" not in arrived(answer.json())


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/chat/completions", {"model": "m", "messages": [], "stream": False}),
        (
            "/v1/chat/completions",
            {"stream_options": {"include_usage": True}, "stream": True, "messages": []},
        ),
        ("/v1/responses", {"stream": True, "model": "m", "input": "\u2028 é"}),
        ("/v1/completions", {"stream": True, "model": "m", "prompt": "p"}),
        ("/v1/messages", {"stream": True, "model": "m", "max_tokens": 1, "messages": []}),
        ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": []}),
    ],
)
async def test_an_understood_body_is_sent_on_unchanged(
    start_front: StartWorker, path: str, document: Any
) -> None:
    """Reading a body is not rewriting it: white space, order and escapes stay."""
    body = json.dumps(document, indent=3).encode()
    async with Peer(serves(plain(b"{}", fields={"Content-Type": "application/json"}))) as peer:
        front = await start_front(upstream_url=peer.url)
        fields = [("Content-Type", "application/json")]
        answer = await exchange(front.url, request("POST", path, body, fields))
        assert answer.status == 200
        assert peer.bodies == [body]


async def test_only_a_chat_stream_is_asked_for_its_usage_as_well(start_front: StartWorker) -> None:
    """The one thing that is added, and nothing else of the body changes."""
    body = b'{ "messages": [ "\\u00e9" ],  "stream": true, "model":"m" }'
    async with Peer(serves(plain())) as peer:
        front = await start_front(upstream_url=peer.url)
        await exchange(front.url, request("POST", "/v1/chat/completions", body))
        (seen,) = peer.bodies
    added = b'"stream_options":{"include_usage":true},'
    assert seen == body.replace(b"{", b"{" + added, 1)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_compressed_request_is_understood(start_front: StartWorker, coding: str) -> None:
    """A compressed body is read like any other; the upstream gets what the client meant."""
    document = {"model": "demo", "messages": [], "stream": True, "demo": "tokens=3"}
    body = json.dumps(document).encode()
    front = await start_front()
    packed = gzip.compress(body) if coding == "gzip" else __import__("zlib").compress(body)
    fields = [("Content-Type", "application/json"), ("Content-Encoding", coding)]
    answer = await exchange(front.url, request("POST", "/v1/chat/completions", packed, fields))
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_many_requests_at_once_are_not_mixed_up(front: Worker) -> None:
    """Each of fifty simultaneous requests gets the answer to its own question."""

    async def one(number: int) -> None:
        body = b"%d." % number * 1000
        sent = request("POST", f"/v1/echo?n={number}", body, [("X-Number", str(number))])
        echo = (await exchange(front.url, sent)).json()
        assert echo["target"] == f"/v1/echo?n={number}"
        assert echo["body"] == sha(body)
        assert arrived(echo)["X-Number"] == str(number)

    await asyncio.gather(*map(one, range(50)))


async def test_json_in_json_out(front: Worker) -> None:
    """The plainest use: one question, one answer, no stream."""
    answer = await exchange(
        front.url, post_json("/v1/chat/completions", {"model": "demo", "messages": []})
    )
    assert answer.status == 200
    assert answer.json()["object"] == "chat.completion"
