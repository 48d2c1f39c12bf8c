"""How often one call of an SDK reaches the upstream, when Sluice has tried again already."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.fixtures.sdks import anthropic, openai
from tests.integration.conftest import StartWorker

HELLO: Any = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
SLUICE_ATTEMPTS = 3
SDK_ATTEMPTS = 3


class FailingUpstream:
    """Answers every request with one status, and counts them."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.requests = 0
        self._status = status
        self._headers = headers

    async def answer(self, _: web.Request) -> web.Response:
        """The next failure."""
        self.requests += 1
        body = {"error": {"message": "Try again later.", "type": "server_error"}}
        return web.json_response(body, status=self._status, headers=self._headers)


async def chat(url: str, **more: Any) -> Any:
    async with openai.AsyncOpenAI(
        base_url=url + "/v1", api_key="k", max_retries=SDK_ATTEMPTS - 1
    ) as client:
        return await client.chat.completions.create(**HELLO, **more)


async def message(url: str, **more: Any) -> Any:
    async with anthropic.AsyncAnthropic(
        base_url=url, api_key="k", max_retries=SDK_ATTEMPTS - 1
    ) as client:
        return await client.messages.create(max_tokens=5, **HELLO, **more)


CALLS = {"openai": chat, "anthropic": message}


def status_errors() -> Any:
    return openai.APIStatusError, anthropic.APIStatusError


async def calls_upstream(
    start_front: StartWorker, sdk: str, upstream: FailingUpstream, **settings: Any
) -> tuple[int, Any]:
    """The requests that the upstream has seen after one call, and what the SDK raised."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", upstream.answer)
    async with TestServer(app) as server:
        front = await start_front(
            upstream_url=f"http://127.0.0.1:{server.port}",
            retries=SLUICE_ATTEMPTS - 1,
            retry_after_cap_seconds=0.1,
            **settings,
        )
        with pytest.raises(status_errors()) as raised:
            await CALLS[sdk](front.url)
    return upstream.requests, raised.value


@pytest.mark.parametrize("sdk", CALLS)
@pytest.mark.parametrize("status", [503, 529])
async def test_an_answer_that_was_tried_again_already(
    start_front: StartWorker, sdk: str, status: int
) -> None:
    """The SDK stops where Sluice has stopped: attempts add up and do not multiply."""
    upstream = FailingUpstream(status, {})
    requests, error = await calls_upstream(start_front, sdk, upstream)
    assert requests == SLUICE_ATTEMPTS
    assert error.status_code == status
    assert error.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("sdk", CALLS)
async def test_an_answer_that_says_when_to_come_again(start_front: StartWorker, sdk: str) -> None:
    """The upstream is taken at its word, and so is the SDK's wait."""
    upstream = FailingUpstream(429, {"Retry-After": "1", "retry-after-ms": "20"})
    requests, error = await calls_upstream(start_front, sdk, upstream)
    assert requests >= SDK_ATTEMPTS
    assert "x-should-retry" not in error.response.headers


@pytest.mark.parametrize("sdk", CALLS)
async def test_an_answer_that_nobody_has_tried_again(start_front: StartWorker, sdk: str) -> None:
    """A first failure is the SDK's to repeat: Sluice tries a 500 once unless told otherwise."""
    upstream = FailingUpstream(500, {})
    requests, error = await calls_upstream(start_front, sdk, upstream)
    assert requests == SDK_ATTEMPTS
    assert "x-should-retry" not in error.response.headers


@pytest.mark.parametrize("sdk", CALLS)
async def test_an_upstream_that_cannot_be_reached(
    start_front: StartWorker, sdk: str, unused_tcp_port: int
) -> None:
    """Sluice's own error says it as well."""
    front = await start_front(
        upstream_url=f"http://127.0.0.1:{unused_tcp_port}", retries=SLUICE_ATTEMPTS - 1
    )
    with pytest.raises(status_errors()) as raised:
        await CALLS[sdk](front.url)
    assert raised.value.response.headers["x-should-retry"] == "false"
