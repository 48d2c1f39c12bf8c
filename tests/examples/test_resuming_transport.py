"""The httpx transports under the packages that they are for; every connection breaks somewhere."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import closing
from types import ModuleType
from typing import Any

import pytest

from tests.examples.conftest import EXAMPLES
from tests.examples.resumable_server import TEXT, Script, chat_events, messages_events, serving
from tests.fixtures.sdks import anthropic, openai

pytestmark = [pytest.mark.no_blockbuster, pytest.mark.timeout(120)]
QUESTION: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def transport(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module as it is copied: beside what it imports. Waits are short."""
    monkeypatch.syspath_prepend(EXAMPLES / "python")
    module = importlib.import_module("resuming_transport")
    monkeypatch.setattr("time.sleep", lambda _: None)
    yield module
    for name in ("resuming_transport", "resumption"):
        sys.modules.pop(name, None)


def openai_over(transport: ModuleType, url: str) -> openai.OpenAI:
    client = transport.httpx.Client(transport=transport.ResumingTransport())
    return openai.OpenAI(base_url=f"{url}/v1", api_key="x", http_client=client, max_retries=0)


def chat_text(client: openai.OpenAI) -> str:
    stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
    return "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)


@pytest.mark.parametrize("cut_after", [*range(201, 290, 8), 500, 1111, 1400])
def test_openai(transport: ModuleType, cut_after: int) -> None:
    """Whatever each connection carries before it breaks: all of the text, once."""
    script = Script(chat_events(), cut_after)
    with serving(script) as url, closing(openai_over(transport, url)) as client:
        assert chat_text(client) == TEXT
    assert script.asked[0] == "POST true"
    assert [call for call in script.asked if call.startswith("POST")] == ["POST true"]
    assert len(script.asked) > 1


@pytest.mark.parametrize("cut_after", [340, 400, 777])
def test_anthropic(transport: ModuleType, cut_after: int) -> None:
    """The same under Anthropic's package."""
    script = Script(messages_events(), cut_after)
    http = transport.httpx.Client(transport=transport.ResumingTransport())
    with serving(script) as url:
        client = anthropic.Anthropic(base_url=url, api_key="x", http_client=http, max_retries=0)
        with (
            closing(client),
            client.messages.stream(model="m", max_tokens=9, messages=QUESTION) as stream,
        ):
            assert "".join(stream.text_stream) == TEXT
    assert len(script.asked) > 2


@pytest.mark.parametrize("cut_after", [220, 333, 1111])
async def test_asyncio(transport: ModuleType, cut_after: int) -> None:
    """The asynchronous transport keeps the same promise."""
    script = Script(chat_events(), cut_after)
    http = transport.httpx.AsyncClient(transport=transport.AsyncResumingTransport())
    with serving(script) as url:
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="x", http_client=http
        ) as client:
            stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
            parts = [
                choice.delta.content or "" async for chunk in stream for choice in chunk.choices
            ]
    assert "".join(parts) == TEXT
    assert len(script.asked) > 1


def test_a_busy_gateway(transport: ModuleType) -> None:
    """A 503 to a reconnect is no reason to give up."""
    script = Script(chat_events(), 900, busy=2)
    with serving(script) as url, closing(openai_over(transport, url)) as client:
        assert chat_text(client) == TEXT


def test_a_stream_that_ended_badly(transport: ModuleType) -> None:
    """What was cut upstream stays cut: the loss is the reader's, after all that came."""
    script = Script(chat_events()[:6], ended_by="upstream_cut")
    parts: list[str] = []
    with serving(script) as url, closing(openai_over(transport, url)) as client:
        stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
        with pytest.raises((openai.OpenAIError, transport.httpx.TransportError)):
            parts.extend(chunk.choices[0].delta.content or "" for chunk in stream)
        assert script.asked[-2:] == ["GET ?after=6", "DELETE"]


def test_the_user_stops(transport: ModuleType) -> None:
    """Closing a stream in its middle stops the answer, and asks for nothing more."""
    script = Script(chat_events())
    with serving(script) as url, closing(openai_over(transport, url)) as client:
        stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
        next(iter(stream))
        stream.close()
        assert script.stopped.wait(10)
    assert script.asked == ["POST true", "DELETE"]


def test_an_end_is_no_abort(transport: ModuleType) -> None:
    """A stream that was read to its end mark is left alone."""
    script = Script(chat_events())
    with serving(script) as url, closing(openai_over(transport, url)) as client:
        assert chat_text(client) == TEXT
    assert script.asked == ["POST true"]
