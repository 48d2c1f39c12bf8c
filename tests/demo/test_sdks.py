"""The real SDKs of OpenAI and Anthropic, sync and async, against the demo."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from proxy.demo.plan import Plan
from tests.fixtures.sdks import anthropic, openai

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

    from tests.demo.conftest import Demo

SAID: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How does a sluice work?"}]
SCHEMA: dict[str, object] = {"type": "object", "properties": {"place": {"type": "string"}}}
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "look", "parameters": SCHEMA},
}


@pytest.fixture
async def gpt(demo: Demo) -> AsyncIterator[openai.AsyncOpenAI]:
    """The async SDK of OpenAI."""
    async with openai.AsyncOpenAI(
        base_url=f"{demo.url}/v1", api_key="any", max_retries=0
    ) as client:
        yield client


@pytest.fixture
async def claude(demo: Demo) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The async SDK of Anthropic."""
    async with anthropic.AsyncAnthropic(base_url=demo.url, api_key="any", max_retries=0) as client:
        yield client


async def test_chat(gpt: openai.AsyncOpenAI) -> None:
    """Streamed and whole answers agree in text, finish and usage."""
    whole = await gpt.chat.completions.create(model="demo;tokens=20", messages=SAID)
    stream = await gpt.chat.completions.create(
        model="demo;tokens=20",
        messages=SAID,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20
    assert len({chunk.id for chunk in chunks}) == 1


async def test_chat_without_usage_has_no_extra_chunk(gpt: openai.AsyncOpenAI) -> None:
    """Usage is only streamed when it is asked for."""
    stream = await gpt.chat.completions.create(model="demo", messages=SAID, stream=True)
    chunks = [chunk async for chunk in stream]
    assert all(chunk.choices for chunk in chunks)
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


async def test_chat_with_several_choices(gpt: openai.AsyncOpenAI) -> None:
    """Each choice has its own role, text and finish."""
    stream = await gpt.chat.completions.create(
        model="demo;tokens=5", messages=SAID, n=3, stream=True
    )
    texts, finished = {0: "", 1: "", 2: ""}, []
    async for chunk in stream:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            finished.append(choice.index)
    assert finished == [0, 1, 2]
    assert len(set(texts.values())) == 3
    assert all(texts.values())


async def test_chat_streaming_helper(gpt: openai.AsyncOpenAI) -> None:
    """The SDK's accumulator finds parallel tool calls whole."""
    async with gpt.chat.completions.stream(
        model="demo;tools=2", messages=SAID, tools=[TOOL]
    ) as stream:
        answer = await stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == ["look", "look"]
    assert "place" in calls[0].function.arguments
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_chat_reasoning(gpt: openai.AsyncOpenAI) -> None:
    """Reasoning comes in its own field before the text, and is counted."""
    stream = await gpt.chat.completions.create(
        model="demo;reasoning=7;tokens=3",
        messages=SAID,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    thoughts = [chunk for chunk in chunks if chunk.choices and thought(chunk.choices[0].delta)]
    usage = chunks[-1].usage
    assert len(thoughts) == 7
    assert usage is not None
    assert usage.completion_tokens == 10
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 7


def thought(delta: Any) -> str | None:
    """Read the field that the SDK has no type for."""
    reasoning: str | None = getattr(delta, "reasoning_content", None)
    return reasoning


async def test_a_field_instead_of_the_model(gpt: openai.AsyncOpenAI) -> None:
    """`extra_body` carries the words as well."""
    answer = await gpt.chat.completions.create(
        model="gpt-4o", messages=SAID, extra_body={"demo": {"tokens": 4}}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    assert answer.model == "gpt-4o"


async def test_legacy_completions(gpt: openai.AsyncOpenAI) -> None:
    """Streamed and whole answers agree."""
    whole = await gpt.completions.create(model="demo;tokens=9", prompt="a")
    stream = await gpt.completions.create(
        model="demo;tokens=9", prompt="a", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].text
    assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize("words", ["tokens=9", "tokens=9;reasoning=5", "tools=2"])
async def test_responses(gpt: openai.AsyncOpenAI, words: str) -> None:
    """The SDK's accumulator ends with the same output as the whole answer."""
    whole = await gpt.responses.create(model=f"demo;seed=a;{words}", input="a")
    async with gpt.responses.stream(model=f"demo;seed=a;{words}", input="a") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert final.output_text == whole.output_text
    assert final.usage == whole.usage
    assert [item.type for item in final.output] == [item.type for item in whole.output]


async def test_responses_that_are_cut_short(gpt: openai.AsyncOpenAI) -> None:
    """The request's own cap ends the stream as incomplete, and says why."""
    stream = await gpt.responses.create(model="demo", input="a", max_output_tokens=4, stream=True)
    events = [event async for event in stream]
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details is not None
    assert last.response.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("words", "stop"),
    [("tokens=9", "end_turn"), ("tokens=9;reasoning=5", "end_turn"), ("tools=2", "tool_use")],
)
async def test_messages(claude: anthropic.AsyncAnthropic, words: str, stop: str) -> None:
    """The SDK's accumulator ends with the same message as the whole answer."""
    model = f"demo;seed=a;{words}"
    asked: Any = {"model": model, "max_tokens": 100, "messages": SAID}
    whole = await claude.messages.create(**asked)
    async with claude.messages.stream(**asked) as stream:
        final = await stream.get_final_message()
    assert final.model_dump()["content"] == whole.model_dump()["content"]
    assert final.stop_reason == whole.stop_reason == stop
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens


async def test_messages_that_are_cut_short(claude: anthropic.AsyncAnthropic) -> None:
    """The required cap ends the answer."""
    answer = await claude.messages.create(model="demo", max_tokens=4, messages=[*SAID])  # type: ignore[list-item]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 4)


async def test_counting_tokens(claude: anthropic.AsyncAnthropic) -> None:
    """The SDK's count is the usage's input."""
    messages: Any = SAID
    counted = await claude.messages.count_tokens(model="demo;prompt=12", messages=messages)
    assert counted.input_tokens == 12


async def test_cached_tokens(gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic) -> None:
    """OpenAI counts cached tokens within the prompt, Anthropic beside it."""
    messages: Any = SAID
    model = "demo;prompt=100;cached=60"
    completion = await gpt.chat.completions.create(model=model, messages=SAID)
    two = await claude.messages.create(model=model, max_tokens=10, messages=messages)
    assert completion.usage is not None
    assert completion.usage.prompt_tokens_details is not None
    assert (
        completion.usage.prompt_tokens,
        completion.usage.prompt_tokens_details.cached_tokens,
    ) == (100, 60)
    assert (two.usage.input_tokens, two.usage.cache_read_input_tokens) == (40, 60)


async def test_models_embeddings_and_files(gpt: openai.AsyncOpenAI) -> None:
    """The small routes please the SDK too."""
    models = [model.id async for model in gpt.models.list()]
    vectors = await gpt.embeddings.create(model="demo-embedding", input=["a", "b"], dimensions=8)
    file = await gpt.files.create(file=("a.txt", b"hello"), purpose="assistants")
    heard = await gpt.audio.transcriptions.create(file=("a.wav", b"RIFF"), model="demo")
    assert "demo" in models
    assert [len(entry.embedding) for entry in vectors.data] == [8, 8]
    assert (file.bytes, file.filename) == (5, "a.txt")
    assert heard.text.startswith("4 bytes")


async def test_anthropic_models(claude: anthropic.AsyncAnthropic) -> None:
    """The list has Anthropic's shape for Anthropic's SDK."""
    assert "demo" in [model.id async for model in claude.models.list()]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("status=429", "RateLimitError"),
        ("status=500", "InternalServerError"),
        ("status=404", "NotFoundError"),
        ("key=sesame", "AuthenticationError"),
        ("crfl", "BadRequestError"),
        ("reset", "APIConnectionError"),
        ("refuse", "APIConnectionError"),
    ],
)
async def test_openai_raises_before_the_stream(
    gpt: openai.AsyncOpenAI, words: str, error: str
) -> None:
    """Each refusal is the SDK's own error for it."""
    with pytest.raises(getattr(openai, error)):
        await gpt.chat.completions.create(model=f"demo;{words}", messages=SAID, stream=True)


@pytest.mark.parametrize(
    "words", ["cut=4", "cut-reset=4", "cut-inside=4", "cut-chunk=4", "error=4"]
)
async def test_openai_raises_in_midstream(gpt: openai.AsyncOpenAI, words: str) -> None:
    """A cut or an error event after some chunks is raised while they are read."""
    stream = await gpt.chat.completions.create(
        model=f"demo;rate=500;{words}", messages=SAID, stream=True
    )
    heard = 0
    with pytest.raises(openai.APIError):
        async for _ in stream:
            heard += 1
    assert heard == 4


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("status=529", "APIStatusError"),
        ("status=429", "RateLimitError"),
        ("overloaded", "APIStatusError"),
        ("error=4", "APIStatusError"),
        ("cut=4", httpx2.RemoteProtocolError),
        ("cut-reset=4;rate=500", httpx2.ReadError),
    ],
)
async def test_anthropic_raises(
    claude: anthropic.AsyncAnthropic, words: str, error: str | type[Exception]
) -> None:
    """Failures and error events are the SDK's own errors; a cut is its HTTP client's."""
    messages: Any = SAID
    with pytest.raises(getattr(anthropic, error) if isinstance(error, str) else error):
        async with claude.messages.stream(
            model=f"demo;{words}", max_tokens=50, messages=messages
        ) as stream:
            await stream.get_final_message()


async def test_an_sdk_that_retries(demo: Demo) -> None:
    """The SDK obeys `retry-after-ms`, and the third attempt of the run succeeds."""
    async with openai.AsyncOpenAI(base_url=f"{demo.url}/v1", api_key="any") as client:
        answer = await client.chat.completions.create(
            model="demo;status=429;fail=2;run=sdk;retry-after=0.01", messages=SAID
        )
    assert answer.choices[0].message.content
    assert [seen.status for seen in demo.state.calls] == [429, 429, 200]


@pytest.mark.parametrize(
    "words", ["crlf", "no-space", "multiline", "comments", "pings", "split-utf8", "drip", "gzip"]
)
async def test_sdks_read_odd_forms(
    gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic, words: str
) -> None:
    """What is odd but legal makes no difference to an SDK."""
    messages: Any = SAID
    model = f"demo;tokens=6;{words}"
    stream = await gpt.chat.completions.create(model=model, messages=SAID, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    async with claude.messages.stream(model=model, max_tokens=50, messages=messages) as other:
        assert await other.get_final_text() == text == "Grüezi! 🌊 A sluice is"


async def test_the_sync_sdks(demo: Demo) -> None:
    """Both SDKs work from a thread as they do in the loop."""

    def ask() -> tuple[str, str, str]:
        given: Any = SAID
        with openai.OpenAI(base_url=f"{demo.url}/v1", api_key="any", max_retries=0) as gpt:
            model = f"demo;tokens={Plan().tokens}"
            stream = gpt.chat.completions.create(model=model, messages=SAID, stream=True)
            chat = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            with gpt.responses.stream(model=model, input="a") as responses:
                answer = responses.get_final_response().output_text
        with (
            anthropic.Anthropic(base_url=demo.url, api_key="any", max_retries=0) as claude,
            claude.messages.stream(model=model, max_tokens=99, messages=given) as messages,
        ):
            return chat, answer, messages.get_final_text()

    chat, answer, message = await asyncio.to_thread(ask)
    assert chat == answer == message
    assert "🌊" in chat
