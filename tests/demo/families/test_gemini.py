from __future__ import annotations

from typing import Any

from proxy.demo.events import Part
from proxy.demo.families.gemini import GEMINI_NATIVE, read
from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from proxy.demo.tool_calls import calls_for
from tests.demo.families.recorded import keys, recording, said, streamed

CONTENTS = [{"parts": [{"text": "hello"}]}]


def parts_of(value: Any) -> list[Any]:
    """Give a chunk's parts."""
    parts: list[Any] = value["candidates"][0]["content"]["parts"]
    return parts


def test_chunks_look_like_the_recorded_ones() -> None:
    """No key of ours is unknown to the real stream."""
    real, ours = recording("gemini-native-usage-live"), said(streamed(GEMINI_NATIVE))
    assert keys(ours[0]) == keys(real[0])
    assert keys(ours[0], "candidates", 0) == keys(real[0], "candidates", 0)
    assert keys(ours[0], "usageMetadata") <= keys(real[0], "usageMetadata")
    assert ours[-1]["candidates"][0]["finishReason"] == "STOP"


def test_usage_grows() -> None:
    """Each chunk says the usage so far, thoughts apart from the answer."""
    ours = said(streamed(GEMINI_NATIVE, Plan(tokens=3, reasoning=2), prompt_tokens=5))
    usage = [event["usageMetadata"] for event in ours]
    assert [entry["candidatesTokenCount"] for entry in usage] == [0, 0, 1, 2, 3, 3]
    assert [entry["thoughtsTokenCount"] for entry in usage] == [1, 2, 2, 2, 2, 2]
    assert usage[-1]["totalTokenCount"] == 10
    assert [bool(part.get("thought")) for event in ours for part in parts_of(event)][:3] == [
        True,
        True,
        False,
    ]


def test_usage_with_several_tokens_in_a_chunk() -> None:
    """The count is of tokens, not of chunks, and never above the sum."""
    ours = said(streamed(GEMINI_NATIVE, Plan(tokens=5, per_event=2)))
    assert [event["usageMetadata"]["candidatesTokenCount"] for event in ours] == [2, 4, 5, 5]


def test_no_usage() -> None:
    """With the fault no chunk and no whole answer has any."""
    plan = Plan(faults={"no-usage": True})
    ask = GenerationRequest(plan=plan, model="demo", stream=False, prompt_tokens=1)
    assert not any("usageMetadata" in document for document in said(streamed(GEMINI_NATIVE, plan)))
    assert "usageMetadata" not in GEMINI_NATIVE.whole(ask)


def test_calls() -> None:
    """A function call is whole in its chunk."""
    (call, finish) = said(streamed(GEMINI_NATIVE, calls=calls_for([], 1)))
    assert parts_of(call)[0]["functionCall"]["args"]["place"]
    assert finish["usageMetadata"]["candidatesTokenCount"] > 1


def test_what_the_request_may_set() -> None:
    """The cap, tools that are forced, and what the route has put in."""
    body = {
        "model": "demo;x",
        "contents": CONTENTS,
        "stream": True,
        "array": True,
        "generationConfig": {"maxOutputTokens": 3},
        "tools": [{"functionDeclarations": [{"name": "look", "parameters": {}}]}],
    }
    ask = read(body, Plan())
    forced = read({**body, "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, Plan())
    assert (ask.model, ask.stream, ask.array, ask.cap, ask.calls) == ("demo", True, True, 3, ())
    assert [call.name for call in forced.calls] == ["look"]


def test_overload_is_a_503() -> None:
    """Google has no 529, and its lines end in CR LF."""
    ask = GenerationRequest(plan=Plan(), model="demo", stream=True, prompt_tokens=1)
    event = GEMINI_NATIVE.trouble(ask, 529, 0)
    assert event.part is Part.TROUBLE
    assert said([event])[0]["error"]["code"] == 503
    assert GEMINI_NATIVE.eol == b"\r\n"
