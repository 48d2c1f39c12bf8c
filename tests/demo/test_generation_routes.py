from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.demo.peer import FAMILIES, PATHS, Heard, body_for, call, request

if TYPE_CHECKING:
    from tests.demo.conftest import Demo


async def post(demo: Demo, target: str, /, **body: Any) -> Heard:
    """Post a JSON body."""
    return await call(demo.port, request(target, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("family", "field"),
    [
        ("chat", "messages"),
        ("chat", "model"),
        ("completions", "prompt"),
        ("responses", "input"),
        ("messages", "messages"),
        ("messages", "max_tokens"),
        ("gemini", "contents"),
    ],
)
async def test_a_field_is_missing(demo: Demo, family: str, field: str) -> None:
    """It is a 400 that names the field."""
    target, body = body_for(family, "")
    left = {name: value for name, value in json.loads(body).items() if name != field}
    heard = await post(demo, target, **left)
    assert heard.status == 400
    assert field in heard.json()["error"]["message"]


@pytest.mark.parametrize("family", FAMILIES)
async def test_any_model_will_do(demo: Demo, family: str) -> None:
    """A name the demo does not list is answered under that name."""
    target, body = body_for(family, "tokens=1")
    if family == "gemini":
        target = PATHS[family].format(model="other-1;tokens=1")
    heard = await call(demo.port, request(target, body.replace(b"demo;", b"other-1;")))
    assert heard.status == 200
    assert b"other-1" in heard.body
    assert demo.state.calls[0].model == "other-1"


async def test_presets(demo: Demo) -> None:
    """A preset's words hold, and the request's own win over them."""
    body = {"messages": [{"role": "user", "content": "hello"}]}
    tools = await post(demo, "/v1/chat/completions", model="demo-tools", **body)
    none = await post(demo, "/v1/chat/completions", model="demo-tools;tools=0", **body)
    assert tools.json()["choices"][0]["finish_reason"] == "tool_calls"
    assert none.json()["choices"][0]["finish_reason"] == "stop"


async def test_counting_tokens(demo: Demo) -> None:
    """Anthropic's and Gemini's counts agree with what an answer's usage says."""
    messages = [{"role": "user", "content": "x" * 100}]
    counted = await post(demo, "/v1/messages/count_tokens", model="demo", messages=messages)
    answered = await post(demo, "/v1/messages", model="demo", messages=messages, max_tokens=5)
    parts = [{"role": "user", "parts": [{"text": "x" * 100}]}]
    gemini = await post(demo, "/v1beta/models/demo:countTokens", contents=parts)
    assert counted.json() == {"input_tokens": answered.json()["usage"]["input_tokens"]}
    assert gemini.json()["totalTokens"] >= 25


async def test_geminis_ways(demo: Demo) -> None:
    """One piece, events, or an array of chunks: the same answer; other methods are not there."""
    body = {"contents": [{"parts": [{"text": "hello"}]}], "demo": "seed=a;tokens=5"}
    base = "/v1beta/models/demo"
    whole = await post(demo, f"{base}:generateContent", **body)
    array = await post(demo, f"{base}:streamGenerateContent", **body)
    events = await post(demo, f"{base}:streamGenerateContent?alt=sse", **body)
    other = await post(demo, f"{base}:tuneIt", **body)

    def text(chunks: list[Any]) -> str:
        return "".join(
            part["text"] for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]
        )

    sse = [json.loads(line[6:]) for line in events.body.splitlines() if line.startswith(b"data: ")]
    assert text([whole.json()]) == text(array.json()) == text(sse) == "Grüezi! 🌊 A sluice"
    assert array.header("content-type") == "application/json"
    assert other.status == 404


async def test_embeddings(demo: Demo) -> None:
    """Vectors depend on the text alone, have length 1, and come as floats or packed."""
    body = {"model": "demo-embedding", "input": ["a", "b", "a"]}
    plain = (await post(demo, "/v1/embeddings", **body)).json()
    packed = (await post(demo, "/v1/embeddings", **body, encoding_format="base64")).json()
    vectors = [entry["embedding"] for entry in plain["data"]]
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert vectors[0] == vectors[2] != vectors[1]
    assert sum(value * value for value in vectors[0]) == pytest.approx(1)
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(vectors[0])
    assert plain["usage"]["total_tokens"] >= 1


@pytest.mark.parametrize("target", ["/v1/embeddings", "/v1/messages/count_tokens"])
async def test_faults_of_the_small_routes(demo: Demo, target: str) -> None:
    """They obey the model's words like the others."""
    body = {"model": "demo;status=429", "input": "a", "messages": []}
    assert (await post(demo, target, **body)).status == 429
