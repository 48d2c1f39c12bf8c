"""Clients that are no SDK: curl, HTTP/2 over TLS, and whatever speaks plain HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.integration.appliances import ORIGIN, Appliance, trusting
from tests.integration.http2 import Http2
from tests.nginx.pem import ONE

ASK = {"model": "demo;tokens=5", "stream": True, "messages": []}
SLOW = {"model": "demo;tokens=6;rate=20", "stream": True, "messages": []}


async def curl(*arguments: str) -> tuple[int, bytes]:
    """Curl's exit status and what it prints."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("there is no curl on this machine")
    process = await asyncio.create_subprocess_exec(
        program, "-sS", "--max-time", "20", *arguments, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out


async def test_curl_streams(appliance: Appliance) -> None:
    """The line that every documentation has."""
    status, out = await curl("-N", f"{appliance.url}/v1/chat/completions", "-d", json.dumps(ASK))
    assert status == 0
    assert out.endswith(b"data: [DONE]\n\n")
    assert out.count(b"\n\n") == 8


async def test_curl_sees_each_token_as_it_comes(appliance: Appliance) -> None:
    """The first is there long before the last."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("there is no curl on this machine")
    url = f"{appliance.url}/v1/chat/completions"
    process = await asyncio.create_subprocess_exec(
        program, "-sSN", url, "-d", json.dumps(SLOW), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    loop = asyncio.get_running_loop()
    await process.stdout.readuntil(b"\n\n")
    first = loop.time()
    rest = await process.stdout.read()
    await process.wait()
    assert rest.endswith(b"data: [DONE]\n\n")
    assert loop.time() - first > 0.15


async def test_curl_notices_an_answer_that_is_cut(appliance: Appliance) -> None:
    """What cannot say inside that it broke is broken off."""
    status, _ = await curl(f"{appliance.url}/v1/models", "-H", "X-Demo: length-long")
    assert status != 0


async def test_curl_uploads_what_it_has_to_ask_for_first(appliance: Appliance) -> None:
    """Above a megabyte curl waits for 100 Continue."""
    form = ("-F", "purpose=assistants", "-F", f"file=@{__file__}")
    status, out = await curl(f"{appliance.url}/v1/files", *form, "-H", "Expect: 100-continue")
    assert status == 0
    assert json.loads(out)["filename"] == "test_other_clients.py"


async def test_curl_over_tls(appliance: Appliance) -> None:
    """By HTTP/2 where curl can, with the operator's certificate."""
    status, out = await curl(
        *("--cacert", ONE.certificate, "-N", "-d", json.dumps(ASK)),
        *("-w", "%{http_version}", f"{appliance.tls_url}/v1/chat/completions"),
    )
    assert status == 0
    body, _, version = out.rpartition(b"\n")
    assert body.endswith(b"data: [DONE]\n")
    assert version in {b"2", b"1.1"}


@pytest.fixture
async def http2(appliance: Appliance) -> AsyncIterator[httpx.AsyncClient]:
    """A client that speaks HTTP/2 over TLS."""
    async with httpx.AsyncClient(
        http2=True, verify=trusting(), base_url=appliance.tls_url, timeout=20
    ) as client:
        yield client


async def test_http2_streams_token_by_token(http2: httpx.AsyncClient) -> None:
    """Each event in a frame of its own, as it comes."""
    loop = asyncio.get_running_loop()
    async with http2.stream("POST", "/v1/chat/completions", json=SLOW) as answer:
        assert answer.http_version == "HTTP/2"
        assert answer.headers["x-accel-buffering"] == "no"
        arrivals = [(loop.time(), part) async for part in answer.aiter_raw()]
    assert b"".join(part for _, part in arrivals).endswith(b"data: [DONE]\n\n")
    assert len(arrivals) > 4
    assert arrivals[-1][0] - arrivals[0][0] > 0.15


async def test_http2_carries_many_streams_on_one_connection(http2: httpx.AsyncClient) -> None:
    """None waits for another, and each gets its own."""

    async def one(tokens: int) -> None:
        ask = {"model": f"demo;rate=200;tokens={tokens}", "stream": True, "messages": []}
        answer = await http2.post("/v1/chat/completions", json=ask)
        assert answer.text.count('"content":"') == tokens + 1
        assert answer.text.endswith("data: [DONE]\n\n")

    await asyncio.gather(*map(one, range(10, 40)))


async def test_http2_tells_the_upstream_how_the_client_came(http2: httpx.AsyncClient) -> None:
    """By https; uploads go through as well."""
    answer = await http2.post("/v1/echo?a=%2F", content=b"x" * 100_000)
    echo = answer.json()
    fields = {name.lower(): value for name, value in echo["headers"]}
    assert echo["target"] == "/v1/echo?a=%2F"
    assert echo["body"]["bytes"] == 100_000
    assert fields["x-forwarded-proto"] == "https"
    assert "x-forwarded-host" not in fields


async def test_http2_resets_an_answer_that_is_cut(http2: httpx.AsyncClient) -> None:
    """It cannot be taken for whole."""
    with pytest.raises(httpx.RemoteProtocolError):
        await http2.get("/v1/models", headers={"X-Demo": "length-long"})


async def test_leaving_one_of_many_streams_ends_that_one(appliance: Appliance) -> None:
    """A browser's abort resets one stream: the upstream's work ends, and the others go on."""
    long = {"model": "demo;rate=50;tokens=100000", "stream": True, "messages": []}
    path = "/v1/chat/completions"
    async with await Http2.open(appliance.tls_port, trusting()) as browser:
        staying = browser.post(path, json.dumps(SLOW).encode())
        leaving = browser.post(path, json.dumps(long).encode(), ("x-demo-run", "one-of-many"))
        await browser.until(leaving, b"content")
        browser.reset(leaving)
        (call,) = await appliance.gateway.upstream.over("one-of-many")
        assert call["ended_by"] == "left"
        assert (await browser.whole(staying)).endswith(b"data: [DONE]\n\n")


async def test_a_browser_over_http2(http2: httpx.AsyncClient) -> None:
    """Preflight, then the stream, with one allowed origin on both."""
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    preflight = await http2.options("/v1/chat/completions", headers=asked)
    assert preflight.status_code == 204
    answer = await http2.post("/v1/chat/completions", json=ASK, headers={"Origin": ORIGIN})
    for response in (preflight, answer):
        assert response.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert answer.text.endswith("data: [DONE]\n\n")
