"""Anthropic's own SDK through the whole appliance."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.sdks import anthropic
from tests.integration.appliances import WORKERS, Appliance

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1000}
TOOLS: list[Any] = [
    {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {}}}}
]


@pytest.fixture
def client(appliance: Appliance) -> Iterator[anthropic.Anthropic]:
    """The SDK, as its documentation makes it."""
    with anthropic.Anthropic(base_url=appliance.url, api_key="sk-any", max_retries=0) as sdk:
        yield sdk


def test_a_message(client: anthropic.Anthropic) -> None:
    """Not streamed: text, stop reason and usage."""
    message = client.messages.create(model="demo;tokens=12", **HELLO)
    assert message.content[0].type == "text"
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 12


def test_a_stream_is_the_same_message(client: anthropic.Anthropic) -> None:
    """By events, by text, and as what they add up to."""
    whole = client.messages.create(model="demo;tokens=12", **HELLO)
    assert whole.content[0].type == "text"
    events = list(client.messages.create(model="demo;tokens=12", stream=True, **HELLO))
    assert events[0].type == "message_start"
    assert events[-1].type == "message_stop"
    with client.messages.stream(model="demo;tokens=12", **HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text
    assert final.usage.output_tokens == 12
    assert final.stop_reason == "end_turn"


def test_thinking_and_tools(client: anthropic.Anthropic) -> None:
    """Blocks of every kind arrive whole."""
    with client.messages.stream(model="demo;tools=2;reasoning=5", tools=TOOLS, **HELLO) as stream:
        final = stream.get_final_message()
    kinds = [block.type for block in final.content]
    assert kinds.count("tool_use") == 2
    assert "thinking" in kinds
    assert all(isinstance(b.input, dict) for b in final.content if b.type == "tool_use")
    assert final.stop_reason == "tool_use"


def test_what_is_no_message(client: anthropic.Anthropic) -> None:
    """Counting and listing are relayed just so."""
    counted = client.messages.count_tokens(model="demo", messages=HELLO["messages"])
    assert counted.input_tokens > 0
    assert "demo" in [model.id for model in client.models.list()]


def test_errors_are_the_sdks_own(client: anthropic.Anthropic) -> None:
    """The upstream's refusals and Sluice's own, each as the exception that it should be."""
    for words, kind in {
        "status=401": anthropic.AuthenticationError,
        "status=404": anthropic.NotFoundError,
        "status=429": anthropic.RateLimitError,
        "status=529": anthropic.InternalServerError,
        "overloaded": anthropic.InternalServerError,
        "refuse": anthropic.InternalServerError,
    }.items():
        with pytest.raises(kind) as raised:
            client.messages.create(model=f"demo;{words}", stream=True, **HELLO)
        assert isinstance(raised.value.body, dict)
        assert raised.value.body["type"] == "error"


@pytest.mark.parametrize("words", ["cut=5", "cut-inside=5", "error=5", "cut-reset=5"])
def test_a_cut_raises(client: anthropic.Anthropic, words: str) -> None:
    """Nobody takes half an answer for a whole one."""
    stream = client.messages.create(model=f"demo;{words}", stream=True, **HELLO)
    with pytest.raises(anthropic.APIError):
        list(stream)


def text_of(block: Any) -> str:
    """What a text block says."""
    assert block.type == "text"
    return str(block.text)


async def test_many_at_once_over_all_workers(appliance: Appliance) -> None:
    """The async SDK with thirty streams at a time: each gets its own, and every worker has some."""
    async with anthropic.AsyncAnthropic(
        base_url=appliance.url, api_key="sk-any", max_retries=0, timeout=60
    ) as client:

        async def one(tokens: int) -> None:
            async with client.messages.stream(
                model=f"demo;rate=300;tokens={tokens}", **HELLO
            ) as stream:
                final = await stream.get_final_message()
            assert final.usage.output_tokens == tokens
            whole = await client.messages.create(model=f"demo;tokens={tokens}", **HELLO)
            assert [text_of(block) for block in final.content] == [
                text_of(block) for block in whole.content
            ]

        await asyncio.gather(*map(one, range(10, 40)))
    assert appliance.served_by() == set(range(WORKERS))


async def test_the_async_sdk_leaves(appliance: Appliance) -> None:
    """Leaving the stream ends the upstream's work."""
    async with anthropic.AsyncAnthropic(
        base_url=appliance.url, api_key="sk-any", max_retries=0
    ) as client:
        async with client.messages.stream(
            model="demo;rate=50;tokens=900",
            extra_headers={"X-Demo-Run": "anthropics-sdk-leaves"},
            **HELLO,
        ) as stream:
            async for _ in stream:
                break
        (call,) = await appliance.gateway.upstream.over("anthropics-sdk-leaves")
    assert call["ended_by"] == "left"
