from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.demo.request_body import key_of
from tests.demo.peer import body_for, call, listen, request

if TYPE_CHECKING:
    from tests.demo.conftest import Demo


@pytest.mark.parametrize(
    ("headers", "path", "key"),
    [
        ({"Authorization": "Bearer a"}, "/", "a"),
        ({"authorization": "bearer  a "}, "/", "a"),
        ({"x-api-key": "b"}, "/", "b"),
        ({"x-goog-api-key": "c"}, "/", "c"),
        ({"api-key": "d"}, "/", "d"),
        ({}, "/?key=e", "e"),
        ({"Authorization": "Basic a"}, "/", ""),
        ({}, "/", ""),
    ],
)
def test_the_key_wherever_it_stands(headers: dict[str, str], path: str, key: str) -> None:
    """Each family's place for the key is looked at."""
    assert key_of(make_mocked_request("GET", path, headers=headers)) == key


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"{", "parse"), (b"", "parse"), (b"[1]", "must be an object"), (b"\xff\xfe{", "parse")],
)
async def test_a_body_that_is_no_json_object(demo: Demo, body: bytes, message: str) -> None:
    """It is answered with 400 and a reason."""
    heard = await call(demo.port, request("/v1/chat/completions", body))
    assert heard.status == 400
    assert message in heard.json()["error"]["message"]


async def test_a_body_above_the_limit(locked_demo: Demo) -> None:
    """It is answered with 413 in the family's shape."""
    heard = await call(locked_demo.port, request("/v1/messages", b"[" * 20_000))
    assert heard.status == 413
    assert heard.json()["error"]["type"] == "request_too_large"


async def test_a_body_that_is_read_slowly(demo: Demo) -> None:
    """Reading takes its time, and loses nothing."""
    started = time.monotonic()
    headers = {"X-Demo": "slow-read=40KiB"}
    heard = await call(demo.port, request("/v1/echo", b"x" * 20_000, headers=headers))
    assert heard.json()["body"]["bytes"] == 20_000
    assert 0.4 <= time.monotonic() - started < 2


async def test_a_slow_reader_holds_its_client_back(demo: Demo) -> None:
    """Far more than the demo has read cannot be sent: the client's writes wait."""
    _, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    size = 64 * 1024**2
    head = request("/v1/echo", headers={"X-Demo": "slow-read=1KiB", "Transfer-Encoding": "chunked"})
    writer.write(head + b"%x\r\n" % size + bytes(size))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.drain(), 0.5)
    writer.transport.abort()
    assert demo.state.calls[0].body_bytes < 1024**2


async def test_an_answer_before_the_body_is_read(demo: Demo) -> None:
    """The answer is there while most of the body is still to come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    sent = request("/v1/chat/completions", bytes(100_000), headers={"X-Demo": "answer-early=401"})
    writer.write(sent[:1_000])
    heard = asyncio.ensure_future(listen(reader))
    await demo.state.until(lambda state: state.finished == 1)
    writer.write(sent[1_000:])
    answer = await heard
    writer.close()
    assert answer.status == 401
    assert json.loads(answer.body)["error"]["code"] == "invalid_api_key"
    assert answer.header("connection") == "close"


@pytest.mark.parametrize(("words", "continued"), [("tokens=1", True), ("answer-early", False)])
async def test_a_client_that_waits_for_continue(demo: Demo, words: str, continued: bool) -> None:
    """It is told to go on, unless the body is to stay unread."""
    target, body = body_for("chat", "")
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    sent = request(target, body, headers={"Expect": "100-continue", "X-Demo": words})
    writer.write(sent[: -len(body)])
    first = await reader.readuntil(b"\r\n\r\n")
    if continued:
        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await listen(reader)).status == 200
    else:
        assert first.startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_a_body_that_breaks_off(demo: Demo) -> None:
    """A client that leaves while it sends is one that left."""
    _, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    writer.write(request("/v1/chat/completions", bytes(1_000))[:-500])
    await demo.state.until(lambda state: state.seen == 1)
    writer.close()
    await demo.state.until(lambda state: state.left == 1)
    assert demo.state.calls[0].status == 0


async def test_a_body_with_broken_chunks(demo: Demo) -> None:
    """Framing that cannot be read ends the call without an answer of 500."""
    head = request("/v1/echo", headers={"Transfer-Encoding": "chunked"})
    heard = await call(demo.port, head + b"5\r\nhello\r\nnonsense\r\n")
    assert b" 500 " not in heard.raw
    await demo.state.until(lambda state: not state.open)
