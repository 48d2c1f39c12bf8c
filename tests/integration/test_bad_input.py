"""What cannot be served is refused clearly, at once, and without bothering any upstream."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.integration.conftest import Demo, StartWorker, Worker, until
from tests.integration.raw import (
    BrokenOff,
    Line,
    Whole,
    ask_chat,
    code_of,
    exchange,
    post_json,
    request,
)

MOST = 10_000
UNDERSTOOD = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/completions",
    "/v1/messages",
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:streamGenerateContent?alt=sse",
]


def refused(answer: Whole, status: int, code: str, path: str = "") -> str:
    """See that it is a refusal in the family's shape; its message."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    error: dict[str, Any] = document["error"]
    assert code_of(error) == code
    request_id = answer.headers["X-Request-ID"]
    if path == "/v1/messages":
        assert document["type"] == "error"
        assert document["request_id"] == request_id
    else:
        assert error["request_id"] == request_id
    assert request_id in error["message"]
    assert b"Traceback" not in answer.body
    return str(error["message"])


@pytest.mark.parametrize("path", UNDERSTOOD)
@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "byte 0"),
        (b'{"model": "m", "messages": [}', "byte 28"),
        (b'{"model": "m"', "byte 13"),
        (b'{"model": "m"}]', "byte 14"),
        (b"\x1f\x8b\x08", "byte 0"),
    ],
    ids=["empty", "wrong", "half", "more", "binary"],
)
async def test_json_that_does_not_parse(
    front: Worker, demo: Demo, path: str, body: bytes, where: str
) -> None:
    """The client learns at which byte; the upstream never sees it."""
    answer = await exchange(front.url, request("POST", path, body))
    assert where in refused(answer, 400, "invalid_request", path)
    assert demo.state.seen == 0


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"17"])
async def test_json_that_is_no_object(front: Worker, demo: Demo, body: bytes) -> None:
    """Which is what every such request is."""
    answer = await exchange(front.url, request("POST", "/v1/chat/completions", body))
    assert "object" in refused(answer, 400, "invalid_request")
    assert demo.state.seen == 0


async def test_where_the_body_is_not_understood_it_is_not_judged(front: Worker) -> None:
    """Other routes may take what they like."""
    answer = await exchange(front.url, request("POST", "/v1/echo", b"{ no json"))
    assert answer.status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/files"])
async def test_a_body_that_is_too_large(
    start_front: StartWorker, demo: Demo, framing: str, path: str
) -> None:
    """413 as soon as it is clear: by its announced length, or once it has grown over the limit."""
    front = await start_front(max_body_bytes=MOST)
    body = b"[" + b"1," * MOST
    sent = request("POST", path, body)
    if framing == "chunked":
        half = b"%x\r\n%s\r\n" % (MOST, body[:MOST])
        sent = request("POST", path, fields=[("Transfer-Encoding", "chunked")])
        sent = sent.replace(b"Content-Length: 0\r\n", b"") + half + half + b"0\r\n\r\n"
    answer = await exchange(front.url, sent)
    assert str(MOST) in refused(answer, 413, "request_too_large", path)
    assert demo.state.seen == 0


async def test_an_announced_length_is_refused_before_the_body_comes(
    start_front: StartWorker, demo: Demo
) -> None:
    """Nobody uploads a gigabyte to be told that it was too much."""
    front = await start_front(max_body_bytes=MOST)
    head = request("POST", "/v1/files").replace(b"Length: 0", b"Length: 1000000000")
    async with await Line.open(front.url) as line:
        answer = await line.whole(head)
    refused(answer, 413, "request_too_large")
    assert demo.state.seen == 0


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_of_just_the_largest_size_passes(
    start_front: StartWorker, framing: str
) -> None:
    """The limit is what may pass, not what may not."""
    front = await start_front(max_body_bytes=MOST)
    body = b"x" * MOST
    sent = request("POST", "/v1/echo", body)
    if framing == "chunked":
        sent = request("POST", "/v1/echo", fields=[("Transfer-Encoding", "chunked")])
        sent = sent.replace(b"Content-Length: 0\r\n", b"")
        sent += b"%x\r\n%s\r\n0\r\n\r\n" % (MOST, body)
    assert (await exchange(front.url, sent)).json()["body"]["bytes"] == MOST


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/models"])
async def test_an_unreachable_upstream(start_front: StartWorker, path: str) -> None:
    """502, soon, and in words that help; where it is, is nobody's business."""
    front = await start_front(upstream_url="http://127.0.0.1:9/v1", retries=1)
    sent = post_json(path, {"model": "m"}) if path != "/v1/models" else request("GET", path)
    answer = await exchange(front.url, sent)
    message = refused(answer, 502, "upstream_unreachable", path)
    assert "cannot be reached" in message


@pytest.mark.parametrize("words", ["hang-before", "hang-headers"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_silent_upstream(
    start_front: StartWorker, demo: Demo, words: str, path: str
) -> None:
    """504 after the time that the operator gives it; the call is ended."""
    front = await start_front(first_token_timeout_seconds=0.2, retries=0)
    document = {"model": f"demo;{words}", "stream": True, "messages": [], "max_tokens": 1}
    answer = await exchange(front.url, post_json(path, document))
    assert "0.2 s" in refused(answer, 504, "first_token_timeout", path)
    await demo.state.until(lambda state: not state.open)


@pytest.mark.parametrize("path", ["/", "/v2/chat/completions", "/favicon.ico", "/v1", "/metrics"])
async def test_an_unknown_route(front: Worker, demo: Demo, path: str) -> None:
    """404 as JSON; the upstream's root is not to be explored through Sluice."""
    answer = await exchange(front.url, request("GET", path))
    refused(answer, 404, "not_found")
    assert demo.state.seen == 0


@pytest.mark.parametrize(
    "path", ["/v1/../admin", "/v1/%2e%2e/admin", "/v1/a/..%2fb", "/v1/.%5c../x"]
)
async def test_a_path_that_climbs_reaches_nobody(front: Worker, demo: Demo, path: str) -> None:
    """The upstream's other paths are not behind ours."""
    answer = await exchange(front.url, request("GET", path))
    assert answer.status in {400, 404}
    assert answer.headers["Content-Type"] == "application/json"
    assert demo.state.seen == 0


async def test_what_workers_tell_the_supervisor_is_not_for_clients(
    start_front: StartWorker,
) -> None:
    """Through nginx it does not exist."""
    front = await start_front()
    if front.nginx_log is None:
        pytest.skip("a worker alone is its own supervisor")
    refused(await exchange(front.url, request("GET", "/internal/status")), 404, "not_found")


NO_HTTP = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "bad header": b"GET /v1/models HTTP/1.1\r\nHost: x\r\nBad Header: sk-secret\r\n\r\n",
    "control character": b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A: sk-secret\x01\r\n\r\n",
    "two lengths": b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    b"Content-Length: 4\r\n\r\nabcd",
    "length and chunks": b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad length": b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 3x\r\n\r\nabc",
}


async def answer_if_any(url: str, sent: bytes) -> Whole | None:
    """The answer to these bytes; None where the connection only ends."""
    with contextlib.suppress(BrokenOff):
        return await exchange(url, sent)
    return None


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
async def test_what_is_no_http_request(
    front: Worker, demo: Demo, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A clear 400 as JSON or the end of the connection; no guess, and no key in any log."""
    with capture_logs() as lines:
        answer = await answer_if_any(front.url, sent)
    if answer is not None:
        assert answer.status == 400
        assert "message" in answer.json()["error"]
    assert demo.state.seen == 0
    assert "sk-secret" not in caplog.text + str(lines)


async def test_a_bad_chunk_in_the_body(front: Worker, demo: Demo) -> None:
    """A body that cannot be read reaches nobody."""
    sent = request("POST", "/v1/files", fields=[("Transfer-Encoding", "chunked")])
    sent = sent.replace(b"Content-Length: 0\r\n", b"") + b"zz\r\nabc\r\n0\r\n\r\n"
    answer = await answer_if_any(front.url, sent)
    assert answer is None or answer.status == 400
    assert demo.state.seen == 0


async def test_request_headers_of_sixty_kilobytes(front: Worker, demo: Demo) -> None:
    """They pass or are refused as JSON; nothing hangs and nothing is cut short."""
    for size in (1_000, 7_000, 64_000):
        sent = request("GET", "/v1/echo", fields=[("X-Large", "x" * size)])
        answer = await answer_if_any(front.url, sent)
        if answer is None:
            continue
        if answer.status == 200:
            assert dict(answer.json()["headers"])["X-Large"] == "x" * size
        else:
            assert size > 7_000
            assert answer.status in {400, 431}
            assert "message" in answer.json()["error"]


async def test_a_client_that_never_finishes_its_body_holds_no_slot(
    start_front: StartWorker, demo: Demo
) -> None:
    """Slots are for work at the upstream, which cannot begin before the request is whole."""
    front = await start_front(max_streams=1, queue_size=0)
    whole = request("POST", "/v1/files", b"x" * 50_000)
    async with await Line.open(front.url) as slow:
        await slow.send(whole[:30_000])
        await until(lambda: front.server.requests_count == 1, "it has not begun")
        assert (await exchange(front.url, ask_chat())).status == 200
        assert (await slow.whole(whole[30_000:])).status == 200
    assert [call.path for call in demo.state.calls] == ["/v1/chat/completions", "/v1/files"]


async def test_a_hundred_bad_requests_leave_nothing_behind(
    start_front: StartWorker, demo: Demo
) -> None:
    """And the next good one is served; what is left over is looked for after each test."""
    front = await start_front(max_body_bytes=MOST, retries=0)
    bad = [
        request("POST", "/v1/chat/completions", b"{"),
        request("POST", "/v1/files", b"x" * (MOST + 1)),
        request("GET", "/nowhere"),
        NO_HTTP["bad header"],
    ]

    async def one(number: int) -> None:
        async with await Line.open(front.url) as line:
            try:
                answer = await line.whole(bad[number % len(bad)])
            except BrokenOff:
                return
            assert answer.status in {400, 404, 413}
            json.loads(answer.body)

    await asyncio.gather(*map(one, range(100)))
    assert demo.state.seen == 0
    assert (await exchange(front.url, ask_chat())).status == 200
