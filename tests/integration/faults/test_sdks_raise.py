"""No SDK takes a cut stream for a whole one: each raises, wherever and however it was cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from tests.fixtures.sdks import anthropic, openai
from tests.integration.faults.expectations import HASTY_IDLE
from tests.integration.faults.gateways import RunningGateway

SAID: list[Any] = [{"role": "user", "content": "hello"}]
AT_BOUNDARIES = {
    "between two events": "cut=4",
    "by a chunk size that is no number": "bad-chunk=4",
    "by a reset": "cut-reset=4;rate=500",
    "by a clean end": "cut-clean=4",
    "by a clean end without an end mark": "no-end",
    "by a close where no length was told": "close;cut=4",
    "by silence": "hang=4",
}
INSIDE = {
    "inside an event": "cut-inside=4",
    "inside a character": "cut-utf8=1",
    "inside a chunk": "cut-chunk=4",
    "inside an event, at a reset": "split;drip-pause=0.001;rate=500;cut-reset=4",
}
CUTS = AT_BOUNDARIES | INSIDE
OPENAI: dict[str, Callable[[Any], Callable[..., Any]]] = {
    "chat": lambda client: client.chat.completions.create,
    "completions": lambda client: client.completions.create,
    "responses": lambda client: client.responses.create,
}
ASKED: dict[str, dict[str, Any]] = {
    "chat": {"messages": SAID},
    "completions": {"prompt": "hello"},
    "responses": {"input": "hello"},
    "messages": {"messages": SAID, "max_tokens": 1000},
}


def raised_by_openai(how: str) -> Any:
    """Its SDK parses the event that was left half sent, whatever its name; Anthropic's skips it."""
    return (openai.APIError, json.JSONDecodeError) if how in INSIDE else openai.APIError


def asked(api: str, words: str) -> dict[str, Any]:
    """The arguments of a streamed call."""
    model = HASTY_IDLE if "hang" in words else "demo"
    return {**ASKED[api], "model": model, "stream": True, "extra_headers": {"X-Demo": words}}


@contextmanager
def must_raise(how: str, kinds: Any) -> Iterator[None]:
    """Fail, naming the cut, where none of these is raised."""
    try:
        with pytest.raises(kinds):
            yield
    except BaseException as error:
        error.add_note(f"The stream was cut {how}.")
        raise


@asynccontextmanager
async def async_openai(gateway: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's SDK, which must not try again by itself here."""
    async with openai.AsyncOpenAI(
        base_url=f"{gateway.url}/v1", api_key="any", max_retries=0
    ) as client:
        yield client


@pytest.mark.parametrize("api", OPENAI)
async def test_openai_async(gateway: RunningGateway, api: str) -> None:
    """OpenAI's SDK, async: every cut raises, a whole stream does not."""
    async with async_openai(gateway) as client:
        create = OPENAI[api](client)
        for how, words in CUTS.items():
            with must_raise(how, raised_by_openai(how)):
                async for _ in await create(**asked(api, words)):
                    pass
        assert [event async for event in await create(**asked(api, ""))]


@pytest.mark.parametrize("api", OPENAI)
async def test_openai_sync(gateway: RunningGateway, api: str) -> None:
    """OpenAI's SDK, sync: every cut raises, a whole stream does not."""

    def walk() -> None:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
            create = OPENAI[api](client)
            for how, words in CUTS.items():
                with must_raise(how, raised_by_openai(how)):
                    for _ in create(**asked(api, words)):
                        pass
            assert list(create(**asked(api, "")))

    await asyncio.to_thread(walk)


async def test_anthropic_async(gateway: RunningGateway) -> None:
    """Anthropic's SDK, async: every cut raises, a whole stream does not."""
    async with anthropic.AsyncAnthropic(
        base_url=gateway.url, api_key="any", max_retries=0
    ) as client:
        for how, words in CUTS.items():
            with must_raise(how, anthropic.APIError):
                async for _ in await client.messages.create(**asked("messages", words)):
                    pass
        whole = await client.messages.create(**asked("messages", ""))
        assert [event async for event in whole]


async def test_anthropic_sync(gateway: RunningGateway) -> None:
    """Anthropic's SDK, sync, by its stream helper: every cut raises, a whole stream does not."""

    def walk() -> None:
        with anthropic.Anthropic(base_url=gateway.url, api_key="any", max_retries=0) as client:
            for how, words in CUTS.items():
                call = asked("messages", words)
                del call["stream"]
                with must_raise(how, anthropic.APIError), client.messages.stream(**call) as stream:
                    stream.get_final_message()
            with client.messages.stream(**{**call, "extra_headers": {}}) as stream:
                assert stream.get_final_message().stop_reason == "end_turn"

    await asyncio.to_thread(walk)


@pytest.mark.parametrize("api", OPENAI)
async def test_openai_sees_the_true_status(gateway: RunningGateway, api: str) -> None:
    """What went wrong before the answer is the SDK's own error for that status."""
    expected = {
        "status=401": openai.AuthenticationError,
        "status=404": openai.NotFoundError,
        "status=422": openai.UnprocessableEntityError,
        "status=429": openai.RateLimitError,
        "status=503": openai.InternalServerError,
        "refuse": openai.InternalServerError,
        "empty": openai.InternalServerError,
        "overloaded": openai.InternalServerError,
    }
    async with async_openai(gateway) as client:
        for words, kind in expected.items():
            with must_raise(words, kind):
                await OPENAI[api](client)(**asked(api, words))


async def test_anthropic_sees_the_true_status(gateway: RunningGateway) -> None:
    """What went wrong before the answer is the SDK's own error for that status."""
    async with anthropic.AsyncAnthropic(
        base_url=gateway.url, api_key="any", max_retries=0
    ) as client:
        for words, kind in {
            "status=401": anthropic.AuthenticationError,
            "status=429": anthropic.RateLimitError,
            "status=529": anthropic.APIStatusError,
            "refuse": anthropic.InternalServerError,
            "overloaded": anthropic.APIStatusError,
        }.items():
            with must_raise(words, kind):
                await client.messages.create(**asked("messages", words))
