"""Real SDKs talk through Sluice to a real model server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.fixtures.sdks import anthropic, openai
from tests.integration.faults.gateways import eventually
from tests.integration.raw import Line, exchange, post_json
from tests.integration.scraping import scrape
from tests.real.conftest import Real

pytestmark = pytest.mark.real

ASK: list[Any] = [{"role": "user", "content": "Say something."}]
TOKENS = 60
STEADY: dict[str, Any] = {"temperature": 0.0, "seed": 7}


def test_models_are_listed(oai: openai.OpenAI) -> None:
    """A request that names no model goes to the first upstream."""
    assert [model.id for model in oai.models.list()] == ["tiny"]


def test_chat(oai: openai.OpenAI) -> None:
    """Streamed and not, the same words and the same usage."""
    asked: dict[str, Any] = {"model": "tiny", "messages": ASK, "max_tokens": TOKENS, **STEADY}
    whole = oai.chat.completions.create(**asked)
    text, reasons, usage = "", set(), None
    for chunk in oai.chat.completions.create(
        stream=True, stream_options={"include_usage": True}, **asked
    ):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons.add(choice.finish_reason)
        usage = chunk.usage or usage
    assert text
    assert text == whole.choices[0].message.content
    assert reasons & {"stop", "length"}
    assert usage is not None
    assert whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens


def test_who_did_not_ask_for_usage_gets_none(oai: openai.OpenAI) -> None:
    """llama.cpp is asked for it, tells it in a chunk of its own, and that chunk stays here."""
    chunks = list(
        oai.chat.completions.create(model="tiny", messages=ASK, max_tokens=TOKENS, stream=True)
    )
    assert all(chunk.usage is None for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


def test_the_older_completions(oai: openai.OpenAI) -> None:
    """Streamed and not."""
    asked: dict[str, Any] = {"model": "tiny", "prompt": "One", "max_tokens": TOKENS, **STEADY}
    whole = oai.completions.create(**asked)
    text = "".join(c.choices[0].text for c in oai.completions.create(stream=True, **asked))
    assert text == whole.choices[0].text


def test_responses(oai: openai.OpenAI) -> None:
    """The stream ends in a completed response with all that was said."""
    asked: dict[str, Any] = {"model": "tiny", "input": "Hello", "max_output_tokens": TOKENS}
    whole = oai.responses.create(**asked)
    assert whole.output_text
    events = list(oai.responses.create(stream=True, **asked))
    last = events[-1]
    assert last.type == "response.completed"
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == last.response.output_text


def test_messages(claude: anthropic.Anthropic) -> None:
    """Anthropic's dialect, which llama.cpp speaks as well."""
    asked: dict[str, Any] = {"model": "tiny", "messages": ASK, "max_tokens": TOKENS}
    whole = claude.messages.create(**asked)
    assert whole.content[0].type == "text"
    with claude.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.content[0].type == "text"
    assert text == final.content[0].text
    assert final.stop_reason in {"end_turn", "max_tokens"}
    assert final.usage.output_tokens > 0


def test_text_that_is_hard_to_cut(oai: openai.OpenAI) -> None:
    """A model that says raw bytes: characters that come in pieces, and some that never do."""
    stream = oai.chat.completions.create(model="bytes", messages=ASK, max_tokens=400, stream=True)
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason in {"stop", "length"}


def test_a_prompt_that_is_too_long_is_refused_as_the_server_does(oai: openai.OpenAI) -> None:
    """Its own status and words reach the SDK."""
    too_long: list[Any] = [{"role": "user", "content": "word " * 40_000}]
    with pytest.raises(openai.BadRequestError) as raised:
        oai.chat.completions.create(model="tiny", messages=too_long, stream=True)
    assert "context" in str(raised.value)


async def test_the_bytes_are_the_servers_own(real: Real) -> None:
    """But for ids and times, what llama.cpp sends is what arrives."""
    sent = ask("tiny", TOKENS, stream_options={"include_usage": True}, **STEADY)
    direct = await exchange(real.servers["tiny"].url, sent)
    through = await exchange(real.gateway.url, sent)
    assert said_in(through.body) == said_in(direct.body)
    assert through.body.count(b"\n\n") == direct.body.count(b"\n\n")
    assert through.body.endswith(b"data: [DONE]\n\n")


async def test_more_than_the_server_has_slots(real: Real) -> None:
    """Who waits there hears nothing, no headers even; all are served in the end."""
    sent = ask("endless", 300)
    answers = await asyncio.gather(*(exchange(real.gateway.url, sent) for _ in range(16)))
    assert all(answer.body.endswith(b"data: [DONE]\n\n") for answer in answers)


async def test_leaving_frees_the_servers_slot(real: Real) -> None:
    """llama.cpp itself says that the work was given up."""
    server = real.servers["endless"]
    before = server.has_logged("cancel task")
    async with await Line.open(real.gateway.url) as line:
        await line.ask(ask("endless", 15_000))
        await line.until(b'"content"')

    async def given_up() -> bool:
        return server.has_logged("cancel task") > before

    await eventually(given_up, "the model server went on for nobody")


async def test_the_scrape_counts_its_tokens(real: Real) -> None:
    """As the server itself stated them."""
    before = (await scrape(real.gateway.admin_url)).sum("sluice_tokens_total", type="output")
    sent = ask("endless", 100, stream_options={"include_usage": True})
    answer = await exchange(real.gateway.url, sent)
    usage = [json.loads(event[6:]) for event in answer.body.split(b"\n\n") if b'"usage"' in event][
        -1
    ]
    stated: int = usage["usage"]["completion_tokens"]

    async def counted() -> bool:
        now = (await scrape(real.gateway.admin_url)).sum("sluice_tokens_total", type="output")
        return now - before == stated

    await eventually(counted, f"{stated} tokens were not counted")


def ask(model: str, tokens: int, **more: Any) -> bytes:
    """A request for a chat stream."""
    document = {"model": model, "stream": True, "messages": ASK, "max_tokens": tokens, **more}
    return post_json("/v1/chat/completions", document)


def said_in(stream: bytes) -> list[str]:
    """The text of a chat stream, delta by delta, and its finish reasons."""
    texts = []
    for event in stream.split(b"\n\n"):
        if event.startswith(b"data: {"):
            for choice in json.loads(event[6:])["choices"]:
                texts.append(choice["delta"].get("content") or "")
                texts.append(str(choice["finish_reason"]))
    return texts
