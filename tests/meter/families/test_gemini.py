from __future__ import annotations

from typing import Any

import pytest

from proxy.meter.tally import Usage
from proxy.record import EventKind, Family
from tests.meter.streams import play, sse


def chunk(*parts: Any, finish: str | None = None, index: int | None = 0, **more: Any) -> Any:
    """One chunk with one candidate."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    if index is not None:
        candidate["index"] = index
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-x", "responseId": "r-1", **more}


@pytest.mark.parametrize(
    ("parts", "text", "reasoning", "tool", "other"),
    [
        ([{"text": "Hi"}], 1, 0, 0, 0),
        ([{"text": "Hi"}, {"text": "!"}], 1, 0, 0, 0),
        ([{"text": "So", "thought": True}], 0, 1, 0, 0),
        ([{"text": "So", "thought": True}, {"text": "Hi"}], 1, 1, 0, 0),
        ([{"functionCall": {"name": "f", "args": {}}}], 0, 0, 1, 0),
        ([{"executableCode": {"language": "PYTHON", "code": "1"}}], 0, 0, 1, 0),
        ([{"codeExecutionResult": {"outcome": "OUTCOME_OK"}}], 0, 0, 0, 1),
        ([{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}], 0, 0, 0, 1),
        ([{"text": ""}], 0, 0, 0, 0),
        ([{"text": "", "thoughtSignature": "c2ln"}], 0, 0, 0, 0),
        ([], 0, 0, 0, 0),
    ],
)
def test_parts_are_tokens_of_their_channels(
    parts: list[Any], text: int, reasoning: int, tool: int, other: int
) -> None:
    """A chunk counts once in every channel that it carries."""
    reader, kinds = play(Family.GEMINI, sse(chunk(*parts)))
    tally = reader.tally
    assert (tally.text, tally.reasoning, tally.tool, tally.other) == (text, reasoning, tool, other)
    assert kinds == [EventKind.DATA]


def test_usage_is_the_last_seen_with_thoughts_beside_the_output() -> None:
    """Early chunks leave out what is not known yet; none takes anything back."""
    early = {"promptTokenCount": 17, "totalTokenCount": 17, "promptTokensDetails": [{"x": 1}]}
    late = {
        "promptTokenCount": 17,
        "candidatesTokenCount": 241,
        "thoughtsTokenCount": 412,
        "toolUsePromptTokenCount": 102,
        "cachedContentTokenCount": 5,
        "totalTokenCount": 772,
    }
    stream = sse(
        chunk({"text": "a"}, usageMetadata=early),
        chunk({"text": "b"}, usageMetadata=late),
        chunk(finish="STOP", usageMetadata={"promptTokenCount": 17}),
    )
    usage = play(Family.GEMINI, stream)[0].tally.usage
    assert usage == Usage(17, 241, 412, 5, input_beside=102, output_beside=412)
    assert (usage.input_total or 0) + (usage.output_total or 0) == 772


def test_the_end_is_a_clean_end_after_every_finish_reason() -> None:
    """There is no end mark."""
    assert not play(Family.GEMINI, sse(chunk({"text": "a"})))[0].finished()
    reader, kinds = play(Family.GEMINI, sse(chunk({"text": "a"}, finish="MAX_TOKENS")))
    assert kinds == [EventKind.DATA]
    assert (reader.finished(), reader.tally.finish_reason) == (True, "MAX_TOKENS")
    two = [chunk({"text": "a"}), chunk({"text": "b"}, index=1), chunk(finish="STOP")]
    assert not play(Family.GEMINI, sse(*two))[0].finished()
    assert play(Family.GEMINI, sse(*two, chunk(finish="STOP", index=1)))[0].finished()


def test_a_blocked_prompt_is_a_whole_answer() -> None:
    """It has no candidate, and none will come."""
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 4},
    }
    reader, _ = play(Family.GEMINI, sse(blocked))
    assert (reader.finished(), reader.tally.finish_reason) == (True, "SAFETY")


def test_an_error_in_the_stream_is_an_error() -> None:
    """As an event, or bare as Vertex sends it, spread over many lines."""
    error = {"error": {"code": 503, "message": "secret words", "status": "UNAVAILABLE"}}
    reader, kinds = play(Family.GEMINI, sse(chunk({"text": "a"}), error))
    assert (kinds[-1], reader.tally.error) == (EventKind.ERROR, "503")
    bare = b'[{\n  "error": {\n    "code": 429,\n    "status": "RESOURCE_EXHAUSTED"\n  }\n}]\n'
    reader, kinds = play(Family.GEMINI, sse(chunk({"text": "a"})) + bare)
    assert (kinds[-1], reader.tally.error) == (EventKind.ERROR, "429")


def test_an_image_too_long_to_hold_counts_and_keeps_its_usage() -> None:
    """The picture is in the middle, what matters at the ends."""
    image = {"inlineData": {"mimeType": "image/png", "data": "A" * 3_000_000}}
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 1290}
    reader, kinds = play(Family.GEMINI, sse(chunk(image, finish="STOP", usageMetadata=usage)))
    assert kinds == [EventKind.DATA]
    assert (reader.tally.other, reader.finished()) == (1, True)
    assert reader.tally.usage == Usage(5, 1290)


def test_a_long_thought_is_not_taken_for_text() -> None:
    """The flag may stand behind the text."""
    thought = {"text": "x" * 2_000_000, "thought": True}
    tally = play(Family.GEMINI, sse(chunk(thought)))[0].tally
    assert (tally.text, tally.reasoning) == (0, 1)
