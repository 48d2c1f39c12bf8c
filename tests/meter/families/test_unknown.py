from __future__ import annotations

from typing import Any

import pytest

from proxy.meter.tally import Usage
from proxy.record import EventKind, Family
from tests.meter.streams import play, sse


def test_any_data_is_progress_but_no_token() -> None:
    """What cannot be understood is timed, never counted."""
    stream = sse({"step": 1}, "plain words", {"step": 2})
    reader, kinds = play(Family.UNKNOWN, stream)
    assert kinds == [EventKind.DATA] * 3
    assert (reader.first_token_at, reader.tally.last_token_at) == (0.0, 2.0)
    assert (reader.tally.counted, reader.tally.malformed) == (0, 0)


def test_a_clean_end_is_a_true_end() -> None:
    """Nothing is known of how such a stream ends."""
    assert play(Family.UNKNOWN, sse({"step": 1}))[0].finished()
    assert play(Family.UNKNOWN, b"")[0].finished()


def test_the_marks_that_all_share_are_understood() -> None:
    """`[DONE]`, errors, pings."""
    assert play(Family.UNKNOWN, sse("[DONE]"))[1] == [EventKind.END]
    assert play(Family.UNKNOWN, sse({"error": {"type": "x"}}))[1] == [EventKind.ERROR]
    assert play(Family.UNKNOWN, sse({"type": "error"}))[1] == [EventKind.ERROR]
    assert play(Family.UNKNOWN, b"event: error\ndata: no\n\n")[1] == [EventKind.ERROR]
    assert play(Family.UNKNOWN, b"event: ping\ndata: 12:00\n\n")[1] == [EventKind.PING]
    assert play(Family.UNKNOWN, b"event: heartbeat\ndata: {}\n\n")[1] == [EventKind.PING]


def cohere(kind: str, **message: Any) -> Any:
    """One event of Cohere's chat v2."""
    return {"type": kind, "delta": {"message": message}}


def test_cohere_chat_is_read() -> None:
    """Its text, its thinking, its tools, its tokens rather than its billed units."""
    usage = {
        "billed_units": {"input_tokens": 7, "output_tokens": 21},
        "tokens": {"input_tokens": 502, "output_tokens": 24, "reasoning_tokens": 4},
        "cached_tokens": 448,
    }
    stream = sse(
        {"id": "c-1", **cohere("message-start", role="assistant")},
        cohere("content-start", content={"type": "text", "text": ""}),
        cohere("content-delta", content={"thinking": "So"}),
        cohere("content-delta", content={"text": "Hi"}),
        cohere("tool-plan-delta", tool_plan="I will"),
        cohere("tool-call-start", tool_calls={"id": "t", "function": {"name": "f"}}),
        cohere("tool-call-delta", tool_calls={"function": {"arguments": "{"}}),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
        named=True,
    )
    tally = play(Family.UNKNOWN, stream)[0].tally
    assert (tally.text, tally.reasoning, tally.tool) == (1, 2, 2)
    assert (tally.first_token_at, tally.first_text_at) == (2.0, 3.0)
    assert tally.usage == Usage(502, 24, 4, 448)
    assert (tally.response_id, tally.finish_reason) == ("c-1", "COMPLETE")


def test_a_transcription_is_read() -> None:
    """Its deltas and the usage at its end."""
    done = {"type": "transcript.text.done", "usage": {"input_tokens": 37, "output_tokens": 12}}
    stream = sse({"type": "transcript.text.delta", "delta": "Ruby"}, done, "[DONE]")
    tally = play(Family.UNKNOWN, stream)[0].tally
    assert (tally.text, tally.usage) == (1, Usage(37, 12))


@pytest.mark.parametrize("family", [Family.UNKNOWN, Family.COMPLETIONS])
def test_writer_values_are_text(family: Family) -> None:
    """Also on the route of the legacy completions, where Writer sends them."""
    reader, _ = play(family, sse({"value": "Sure"}, {"value": ","}))
    assert (reader.tally.text, reader.finished()) == (2, True)


@pytest.mark.parametrize(
    "documents",
    [
        [{"response": "Hi", "p": "x"}, {"response": ""}],
        [{"index": 1, "token": {"text": "Hi"}}, {"token": {"text": "</s>", "special": True}}],
        [{"content": "Hi", "stop": False}, {"content": "", "stop": True}],
    ],
    ids=["Cloudflare", "TGI", "llama.cpp"],
)
def test_bare_shapes_are_text(documents: list[Any]) -> None:
    """What is plain to see needs no family."""
    tally = play(Family.UNKNOWN, sse(*documents))[0].tally
    assert (tally.text, tally.counted) == (1, 1)


def test_an_oversized_event_is_progress() -> None:
    """And an oversized error is an error."""
    reader, kinds = play(Family.UNKNOWN, sse({"x": "y" * 2_000_000, "usage": {"input_tokens": 2}}))
    assert (kinds, reader.first_token_at) == ([EventKind.DATA], 0.0)
    assert reader.tally.usage == Usage(2)
    assert play(Family.UNKNOWN, sse({"error": {"m": "y" * 2_000_000}}))[1] == [EventKind.ERROR]
