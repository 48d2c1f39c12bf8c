from __future__ import annotations

from typing import Any

import pytest

from proxy.meter.tally import Usage
from proxy.record import EventKind, Family
from tests.meter.streams import play, sse


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> Any:
    """One chat completion chunk."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "m-1", "choices": [choice], **more}


USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@pytest.mark.parametrize(
    ("delta", "text", "reasoning", "tool", "other"),
    [
        ({"content": "Hi"}, 1, 0, 0, 0),
        ({"content": " "}, 1, 0, 0, 0),
        ({"refusal": "I cannot."}, 1, 0, 0, 0),
        ({"content": [{"type": "text", "text": "Hi"}]}, 1, 0, 0, 0),
        ({"content": ["Hi"]}, 1, 0, 0, 0),
        ({"reasoning_content": "So"}, 0, 1, 0, 0),
        ({"reasoning_text": "So"}, 0, 1, 0, 0),
        ({"thinking": "So"}, 0, 1, 0, 0),
        ({"reasoning": "So", "reasoning_content": "So"}, 0, 1, 0, 0),
        ({"content": "", "reasoning": "So", "reasoning_details": [{"text": "So"}]}, 0, 1, 0, 0),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, 0, 1, 0, 0),
        ({"content": [{"type": "thinking", "thinking": [{"text": "So"}]}]}, 0, 1, 0, 0),
        ({"content": "Hi", "reasoning": "So"}, 1, 1, 0, 0),
        ({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}, 0, 0, 1, 0),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, 0, 0, 1, 0),
        ({"tool_calls": [{"index": 0, "custom": {"input": "x"}}]}, 0, 0, 1, 0),
        ({"function_call": {"arguments": "{"}}, 0, 0, 1, 0),
        ({"audio": {"data": "AAAA"}}, 0, 0, 0, 1),
        ({"audio": {"transcript": "Hi"}}, 1, 0, 0, 0),
        ({"images": [{"image_url": {"url": "data:"}}]}, 0, 0, 0, 1),
    ],
)
def test_a_token_of_any_channel_is_counted_in_it(
    delta: dict[str, Any], text: int, reasoning: int, tool: int, other: int
) -> None:
    """Every way in which providers spell a token counts once, in its own channel."""
    tally = play(Family.CHAT, sse(chunk(delta)))[0].tally
    counts = (tally.text, tally.reasoning, tally.tool, tally.other)
    assert (counts, tally.counted) == ((text, reasoning, tool, other), 1)


@pytest.mark.parametrize(
    "document",
    [
        chunk({"role": "assistant"}),
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": None, "reasoning": None, "reasoning_details": [], "tool_calls": None}),
        chunk({"reasoning_details": [{"type": "reasoning.text", "text": "", "signature": "x"}]}),
        chunk({"content": []}),
        chunk({"content": [{"type": "thinking", "thinking": []}, {"type": "reference"}]}),
        chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": None}]}),
        chunk({"audio": {"id": "a"}}),
        chunk(None, "stop"),
        {"choices": [], "model": "", "id": "", "prompt_filter_results": [{"prompt_index": 0}]},
        {"choices": [{"index": 0, "delta": None, "finish_reason": None}]},
        {"choices": None, "id": "x"},
    ],
)
def test_what_carries_no_token_is_none(document: Any) -> None:
    """Role-only, empty and null deltas and a prompt filter's chunk are data but no token."""
    reader, kinds = play(Family.CHAT, sse(document))
    assert kinds == [EventKind.DATA]
    assert (reader.tally.counted, reader.first_token_at, reader.tally.malformed) == (0, None, 0)


def test_first_token_first_text_and_longest_gap_are_kept_apart() -> None:
    """The first token may be reasoning; the first text is what a person sees first."""
    reader, _ = play(
        Family.CHAT,
        sse(
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "So"}),
            chunk({"content": "Hi"}),
            chunk({}),
            chunk({}),
            chunk({"content": "!"}),
        ),
    )
    tally = reader.tally
    assert (tally.first_token_at, tally.first_text_at) == (1.0, 2.0)
    assert (tally.last_token_at, tally.longest_gap) == (5.0, 3.0)


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        ([chunk(None, "stop"), {"choices": [], "usage": USAGE}], EventKind.USAGE),
        ([chunk(None, "stop", usage=USAGE)], EventKind.DATA),
        ([chunk({"content": "!"}, usage=USAGE), chunk(None, "stop")], EventKind.DATA),
        ([chunk(None, "stop", x_groq={"id": "r", "usage": USAGE})], EventKind.DATA),
        ([chunk(None, "stop"), {"choices": [], "x_groq": {"usage": USAGE}}], EventKind.DATA),
        ([chunk(None, "stop"), {"usage": USAGE}], EventKind.DATA),
        ([{"choices": [{"index": 0, "finish_reason": "stop", "usage": USAGE}]}], EventKind.DATA),
    ],
    ids=[
        "own chunk",
        "finish chunk",
        "content chunk",
        "x_groq",
        "x_groq apart",
        "no choices",
        "choice",
    ],
)
def test_usage_is_found_wherever_it_stands(tail: list[Any], kind: EventKind) -> None:
    """Only a chunk with empty choices and usage is nothing but usage."""
    reader, kinds = play(Family.CHAT, sse(chunk({"content": "Hi"}, usage=None), *tail))
    assert reader.tally.usage == Usage(input=7, output=3)
    assert kinds[-1] is kind


def test_cumulative_usage_in_every_chunk_ends_with_the_last() -> None:
    """The continuous usage statistics of vLLM grow with every chunk."""
    steps = [
        chunk({"content": "x"}, usage={"prompt_tokens": 7, "completion_tokens": n})
        for n in range(1, 6)
    ]
    tally = play(Family.CHAT, sse(*steps, chunk(None, "stop")))[0].tally
    assert tally.usage == Usage(input=7, output=5)
    assert tally.text == 5


def test_absent_usage_stays_absent() -> None:
    """No usage is not a usage of 0."""
    assert play(Family.CHAT, sse(chunk({"content": "Hi"}, usage=None)))[0].tally.usage is None


def test_model_id_and_finish_reason_are_taken_from_where_they_first_stand() -> None:
    """An empty model in the first chunk does not hide the one in the second."""
    opening = {"choices": [], "id": "", "model": "", "prompt_filter_results": []}
    tally = play(Family.CHAT, sse(opening, chunk({"content": "a"}), chunk(None, "length")))[0].tally
    assert (tally.model, tally.response_id, tally.finish_reason) == ("m-1", "chatcmpl-1", "length")


def test_several_choices_are_finished_only_together() -> None:
    """A clean end is true once each choice seen, and each asked for, had its finish reason."""

    def at(index: int, finish: str | None) -> Any:
        delta = {"content": "x"}
        return {"choices": [{"index": index, "delta": delta, "finish_reason": finish}]}

    first = [at(0, None), at(1, None), at(0, "stop")]
    assert not play(Family.CHAT, sse(*first), 2)[0].finished()
    assert not play(Family.CHAT, sse(at(0, "stop")), 2)[0].finished()
    reader, _ = play(Family.CHAT, sse(*first, at(1, "stop")), 2)
    assert reader.finished()
    assert reader.finishing


def test_a_stream_without_a_finish_reason_is_not_finished() -> None:
    """Half an answer must not pass for a whole one."""
    for none in ("", "null", None):
        reader, _ = play(Family.CHAT, sse(chunk({"content": "Hi"}, none)))
        assert not reader.finished()
        assert not reader.finishing


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (
            {"error": {"message": "secret words", "type": "server_error", "code": 500}},
            "server_error",
        ),
        ({"error": "overloaded"}, "error"),
        (
            {"object": "error", "message": "x", "type": "BadRequestError", "code": 400},
            "BadRequestError",
        ),
        (chunk({"content": ""}, "error", error={"code": 502, "message": "x"}), "502"),
        (chunk({"content": ""}, "error"), "error"),
        ('{"error": {"type": "free text with a prompt in it"}}', "error"),
    ],
)
def test_an_error_inside_the_stream_is_seen(document: Any, kind: str) -> None:
    """Whatever its spelling; only its short name is kept, never its words."""
    reader, kinds = play(Family.CHAT, sse(chunk({"content": "Hi"}), document))
    assert kinds[-1] is EventKind.ERROR
    assert reader.tally.error == kind


def test_a_named_error_event_is_an_error_whatever_it_says() -> None:
    """`event: error` needs no JSON to be understood."""
    for text in ("{}", "boom", '{"message": "x"}'):
        _, kinds = play(Family.CHAT, f"event: error\ndata: {text}\n\n".encode())
        assert kinds == [EventKind.ERROR], text


@pytest.mark.parametrize(
    "malformed",
    ['{"choices": [', "nonsense", "null", "7", '{"choices": {}}', "[" * 9000, '{"a":"\udcff"}'],
    ids=["cut", "text", "null", "number", "shape", "deep", "utf-8"],
)
def test_a_malformed_event_is_counted_and_the_next_is_read(malformed: str) -> None:
    """It is data, raises nothing, and does not end the counting."""
    stream = f"data: {malformed}\n\n".encode("utf-8", "surrogateescape")
    reader, kinds = play(Family.CHAT, stream + sse(chunk({"content": "Hi"})))
    assert kinds == [EventKind.DATA, EventKind.DATA]
    assert (reader.tally.malformed, reader.tally.text) == (1, 1)


def test_a_provider_that_mixes_up_types_is_still_understood() -> None:
    """Odd values where they do not matter cost nothing."""
    odd = {
        "id": 7,
        "model": None,
        "created": "yesterday",
        "usage": [],
        "choices": [{"index": None, "delta": {"content": "Hi", "tool_calls": {}}, "logprobs": 1}],
    }
    reader, _ = play(Family.CHAT, sse(odd))
    assert (reader.tally.text, reader.tally.malformed, reader.response_id) == (1, 0, None)


@pytest.mark.parametrize("mark", ["[DONE]", " [DONE] "])
def test_done_ends_a_chat_stream(mark: str) -> None:
    """With or without space around it."""
    assert play(Family.CHAT, f"data:{mark}\n\n".encode())[1] == [EventKind.END]


def test_empty_data_is_a_ping() -> None:
    """Some gateways keep the line warm with an empty data line."""
    assert play(Family.CHAT, b"data:\n\n")[1] == [EventKind.PING]


def test_an_event_too_long_to_hold_is_judged_by_its_ends() -> None:
    """Its channel by how it begins; its finish reason and usage by how it ends."""
    stream = sse(chunk({"content": "a"}), chunk({"content": "x" * 3_000_000}, "stop", usage=USAGE))
    pieces = [stream[i : i + 65536] for i in range(0, len(stream), 65536)]
    reader, kinds = play(Family.CHAT, pieces)
    assert kinds == [EventKind.DATA, EventKind.DATA]
    assert (reader.tally.text, reader.tally.last_token_at) == (2, 1.0)
    assert reader.finished()
    assert reader.tally.usage == Usage(input=7, output=3)


def test_an_oversized_error_is_an_error() -> None:
    """An error that quotes a long prompt is still one."""
    reader, _ = play(Family.CHAT, b"")
    assert reader.oversized(b"", b'{"error": {"message": "xxx', b'xxx"}}', 1.0) is EventKind.ERROR
