"""OpenAI's own SDK through the whole appliance: it cannot tell Sluice from the real thing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.sdks import openai
from tests.integration.appliances import WORKERS, Appliance

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


@pytest.fixture
def client(appliance: Appliance) -> Iterator[openai.OpenAI]:
    """The SDK, as its documentation makes it."""
    with openai.OpenAI(base_url=f"{appliance.url}/v1", api_key="sk-any", max_retries=0) as sdk:
        yield sdk


def test_a_chat_answer(client: openai.OpenAI) -> None:
    """Not streamed: text, finish reason and usage."""
    answer = client.chat.completions.create(model="demo;tokens=12", messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12


def test_a_chat_stream_is_the_same_text(client: openai.OpenAI) -> None:
    """Chunk by chunk, and nothing in it that was not asked for."""
    whole = client.chat.completions.create(model="demo;tokens=12", messages=HELLO)
    stream = client.chat.completions.create(model="demo;tokens=12", messages=HELLO, stream=True)
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_usage_for_who_asks(client: openai.OpenAI) -> None:
    """It comes last, in a chunk without choices."""
    chunks = list(
        client.chat.completions.create(
            model="demo;tokens=12",
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12


def test_several_choices(client: openai.OpenAI) -> None:
    """Each by its index, streamed and not."""
    whole = client.chat.completions.create(model="demo;tokens=5", messages=HELLO, n=2)
    texts = ["", ""]
    for chunk in client.chat.completions.create(
        model="demo;tokens=5", messages=HELLO, n=2, stream=True
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert texts[0] != texts[1]


def test_tool_calls(client: openai.OpenAI) -> None:
    """Their arguments come in pieces and are JSON in the end."""
    arguments: dict[int, str] = {}
    names: dict[int, str] = {}
    reasons = set()
    for chunk in client.chat.completions.create(
        model="demo;tools=2", messages=HELLO, tools=TOOLS, stream=True
    ):
        for choice in chunk.choices:
            reasons.add(choice.finish_reason)
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                names.setdefault(call.index, call.function.name or "")
                pieces = arguments.get(call.index, "") + (call.function.arguments or "")
                arguments[call.index] = pieces
    assert set(names) == {0, 1}
    assert all(isinstance(json.loads(text), dict) for text in arguments.values())
    assert "tool_calls" in reasons


def test_the_older_completions(client: openai.OpenAI) -> None:
    """Streamed and not."""
    whole = client.completions.create(model="demo;tokens=7", prompt="hello")
    stream = client.completions.create(model="demo;tokens=7", prompt="hello", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text


def test_responses(client: openai.OpenAI) -> None:
    """The event stream ends in a completed response with the same text."""
    whole = client.responses.create(model="demo;tokens=9", input="hello")
    events = list(client.responses.create(model="demo;tokens=9", input="hello", stream=True))
    assert events[0].type == "response.created"
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == whole.output_text
    assert last.response.usage is not None
    assert last.response.usage.output_tokens == 9
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(numbers)))


def test_the_streaming_helpers(client: openai.OpenAI) -> None:
    """What the SDK builds on top of streams works as well."""
    with client.chat.completions.stream(model="demo;tokens=6", messages=HELLO) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.content
    with client.responses.stream(model="demo;tokens=6", input="hello") as events:
        for _ in events:
            pass
        assert events.get_final_response().output_text


def test_embeddings_models_and_files(client: openai.OpenAI) -> None:
    """What is no stream is relayed just so."""
    made = client.embeddings.create(model="demo-embedding", input=["one", "two"])
    assert len(made.data) == 2
    listed = [model.id for model in client.models.list()]
    assert "demo" in listed
    assert client.models.retrieve("demo").id == "demo"
    stored = client.files.create(file=("notes.txt", b"some notes"), purpose="assistants")
    assert stored.bytes == 10
    heard = client.audio.transcriptions.create(model="demo", file=("a.wav", b"RIFF" * 100))
    assert "400 bytes" in heard.text


def test_errors_are_the_sdks_own(client: openai.OpenAI) -> None:
    """The upstream's refusals and Sluice's own, each as the exception that it should be."""
    for words, kind in {
        "status=401": openai.AuthenticationError,
        "status=404": openai.NotFoundError,
        "status=422": openai.UnprocessableEntityError,
        "status=429;retry-after=7": openai.RateLimitError,
        "status=503": openai.InternalServerError,
        "refuse": openai.InternalServerError,
    }.items():
        with pytest.raises(kind) as raised:
            client.chat.completions.create(model=f"demo;{words}", messages=HELLO, stream=True)
        assert raised.value.request_id
        if "429" in words:
            assert raised.value.response.headers["Retry-After"] == "7"
    with pytest.raises(openai.NotFoundError) as missing:
        client.get("/nowhere/at/all", cast_to=object)
    assert missing.value.body


def test_request_ids_meet(client: openai.OpenAI, appliance: Appliance) -> None:
    """The id that the SDK shows is the one in Sluice's log."""
    answer = client.chat.completions.create(
        model="demo;tokens=3", messages=HELLO, extra_headers={"X-Request-ID": "the-sdks-own-id"}
    )
    assert answer._request_id == "the-sdks-own-id"
    line = asyncio.run(appliance.gateway.outcome("the-sdks-own-id"))
    assert line["status"] == 200
    assert line["ended_by"] == "complete"


@pytest.mark.parametrize("words", ["cut=4", "cut-inside=4", "error=4", "cut-reset=4"])
def test_a_cut_raises(client: openai.OpenAI, words: str) -> None:
    """Nobody takes half an answer for a whole one."""
    stream = client.chat.completions.create(model=f"demo;{words}", messages=HELLO, stream=True)
    with pytest.raises((openai.APIError, json.JSONDecodeError)):
        list(stream)


async def test_many_at_once_over_all_workers(appliance: Appliance) -> None:
    """The async SDK with forty streams at a time: each gets its own, and every worker has some."""
    async with openai.AsyncOpenAI(
        base_url=f"{appliance.url}/v1", api_key="sk-any", max_retries=0, timeout=60
    ) as client:

        async def one(tokens: int) -> None:
            text = ""
            stream = await client.chat.completions.create(
                model=f"demo;rate=300;tokens={tokens}",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
            async for chunk in stream:
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                if chunk.usage is not None:
                    assert chunk.usage.completion_tokens == tokens
            whole = await client.chat.completions.create(
                model=f"demo;tokens={tokens}", messages=HELLO
            )
            assert text == whole.choices[0].message.content

        await asyncio.gather(*map(one, range(10, 50)))
    assert appliance.served_by() == set(range(WORKERS))


async def test_the_async_sdk_leaves(appliance: Appliance) -> None:
    """Leaving the loop over a stream ends the upstream's work."""
    async with openai.AsyncOpenAI(
        base_url=f"{appliance.url}/v1", api_key="sk-any", max_retries=0
    ) as client:
        stream = await client.chat.completions.create(
            model="demo;rate=50;tokens=100000",
            messages=HELLO,
            stream=True,
            extra_headers={"X-Demo-Run": "the-async-sdk-leaves"},
        )
        async with stream:
            async for _ in stream:
                break
        (call,) = await appliance.gateway.upstream.over("the-async-sdk-leaves")
    assert call["ended_by"] == "left"
