"""What the upstream answers reaches the client as it was said."""

from __future__ import annotations

import gzip

import pytest

from proxy.errors import UpstreamInvalid
from tests.integration.conftest import StartWorker, Worker
from tests.integration.raw import BrokenOff, Line, ask_chat, exchange, post_json, request
from tests.integration.test_requests_pass import EVERY_BYTE
from tests.upstream.peer import EVENTS, LAST_CHUNK, Peer, chunk, plain, says, serves

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "status",
    [
        "200 OK",
        "201 Created",
        "202 Accepted",
        "203 As They Say",
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "409 Conflict",
        "413 Too Large",
        "418 I'm a teapot",
        "422 Unprocessable Entity",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
        "529 Overloaded",
    ],
)
async def test_status_body_and_headers_are_the_upstreams(
    start_front: StartWorker, status: str
) -> None:
    """A success or a refusal, in its own words; nothing of ours takes its place."""
    body = b'{"error": {"message": "in my own words"}}'
    fields = {"Content-Type": "application/json", "X-Own": "1"}
    async with Peer(serves(plain(body, status, fields))) as peer:
        front = await start_front(upstream_url=peer.url, retries=0)
        answer = await exchange(front.url, ask_chat())
    assert f"{answer.status} {answer.head.reason}" == status
    assert answer.body == body
    assert answer.headers["X-Own"] == "1"
    assert answer.headers["Content-Length"] == str(len(body))


async def test_a_refusal_in_chunks_passes_too(start_front: StartWorker) -> None:
    """Some providers never say how long an answer will be."""
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
    answer = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"{}") + LAST_CHUNK
    async with Peer(says(answer)) as peer:
        front = await start_front(upstream_url=peer.url)
        got = await exchange(front.url, post_json("/v1/messages", {"model": "m"}))
    assert (got.status, got.body) == (400, b"{}")


async def test_head_has_the_headers_and_no_body(start_front: StartWorker) -> None:
    """The length is that of the body that a GET would bring; the connection goes on."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: v1\r\n\r\n"
    async with Peer(serves(head, plain(b"after it"))) as peer:
        front = await start_front(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            got = await line.whole(request("HEAD", "/v1/files/f/content"), method="HEAD")
            after = await line.whole(request("GET", "/v1/models"))
        assert peer.accepted == 1
    assert got.headers["Content-Length"] == "12345"
    assert after.body == b"after it"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_without_a_body(start_front: StartWorker, status: str) -> None:
    """Nothing is waited for, nothing is added, the connection goes on."""
    head = f"HTTP/1.1 {status}\r\nETag: v1\r\n\r\n".encode()
    async with Peer(serves(head, plain(b"after it"))) as peer:
        front = await start_front(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            got = await line.whole(request("DELETE", "/v1/files/f"))
            after = await line.whole(request("GET", "/v1/models"))
        assert peer.accepted == 1
    assert f"{got.status} {got.head.reason}" == status
    assert got.headers["ETag"] == "v1"
    assert "Transfer-Encoding" not in got.headers
    assert after.body == b"after it"


@pytest.mark.parametrize("interim", [100, 102, 103])
async def test_an_interim_answer_is_not_taken_for_the_real_one(front: Worker, interim: int) -> None:
    """The one with the content is waited for."""
    answer = await exchange(front.url, ask_chat(f"informational={interim}"))
    assert answer.status == 200
    assert answer.body.endswith(DONE)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_the_clients_to_follow(front: Worker, status: int) -> None:
    """The key would go along to wherever it points."""
    answer = await exchange(front.url, ask_chat(f"redirect={status}"))
    assert answer.status == status
    assert answer.headers["Location"] == "/demo/redirected"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("body", [b"", EVERY_BYTE, b"x" * 3_000_000], ids=["no", "all", "large"])
async def test_a_binary_answer_passes_byte_for_byte(
    start_front: StartWorker, framing: str, body: bytes
) -> None:
    """Speech and files are no events, and nobody looks into them."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n"
    answers = {
        "length": head + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        "chunked": head
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + (chunk(body) if body else b"")
        + LAST_CHUNK,
        "close": head + b"\r\n" + body,
    }
    async with Peer(says(answers[framing], then="close")) as peer:
        front = await start_front(upstream_url=peer.url)
        answer = await exchange(front.url, request("GET", "/v1/audio/speech"))
    assert answer.body == body
    assert answer.headers["Content-Type"] == "audio/mpeg"


async def test_a_compressed_answer_stays_compressed(start_front: StartWorker) -> None:
    """It was asked for by the client, so it is the client's to undo."""
    packed = gzip.compress(b'{"object": "list"}')
    fields = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with Peer(serves(plain(packed, fields=fields))) as peer:
        front = await start_front(upstream_url=peer.url)
        sent = request("GET", "/v1/models", fields=[("Accept-Encoding", "gzip")])
        answer = await exchange(front.url, sent)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.body == packed


async def test_a_binary_answer_that_is_cut_does_not_look_finished(start_front: StartWorker) -> None:
    """There is no way to say it inside, so the connection breaks off."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Peer(says(answer + chunk(b"half"), then="close")) as peer:
        front = await start_front(upstream_url=peer.url)
        with pytest.raises(BrokenOff) as broken:
            await exchange(front.url, request("GET", "/v1/audio/speech"))
    assert broken.value.body == b"half"


async def test_large_answer_headers_pass_a_worker(worker: Worker) -> None:
    """Sixty-four kilobytes in one field are somebody's idea of a header."""
    answer = await exchange(worker.url, ask_chat("big-headers=64KiB"))
    assert answer.status == 200
    assert len(answer.headers["x-demo-big"]) == 65536
    assert answer.body.endswith(DONE)


@pytest.mark.parametrize("size", ["64KiB", "200KiB"])
async def test_too_large_answer_headers_are_a_clear_502(
    start_front: StartWorker, size: str
) -> None:
    """Above what nginx or the worker takes, the client is told so; nothing hangs."""
    front = await start_front(retries=0)
    if front.nginx_log is None and size == "64KiB":
        pytest.skip("a worker alone passes these")
    answer = await exchange(front.url, ask_chat(f"big-headers={size}"))
    assert answer.status == 502
    codes = {UpstreamInvalid.fault.code, "worker_unreachable"}
    assert answer.json()["error"]["code"] in codes


@pytest.mark.parametrize("fields", [[], [("Connection", "keep-alive")]])
async def test_a_client_of_http_1_0_gets_its_stream(
    start_front: StartWorker, fields: list[tuple[str, str]]
) -> None:
    """Without chunks, which it does not know: the end of the connection ends the answer."""
    async with Peer(says(EVENTS + chunk(EVENT) + chunk(DONE) + LAST_CHUNK)) as peer:
        front = await start_front(upstream_url=peer.url)
        body = b'{"stream": true, "stream_options": {"include_usage": true}}'
        sent = request("POST", "/v1/chat/completions", body, fields, version="1.0")
        async with await Line.open(front.url) as line:
            answer = await line.whole(sent)
            assert await line.ended()
    assert "Transfer-Encoding" not in answer.headers
    assert answer.body == EVENT + DONE


async def test_a_client_of_http_1_0_gets_its_json(front: Worker) -> None:
    """With its length."""
    sent = request("GET", "/v1/models", version="1.0")
    answer = await exchange(front.url, sent)
    assert answer.json()["object"] == "list"
