from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.meter.stream_reader import read_body, reader_for
from proxy.meter.tally import Usage
from proxy.record import EventKind, Family, Reader
from tests.fixtures.recordings import stream_files
from tests.meter.streams import play, sse

FILES = stream_files()


def cuts(stream: bytes) -> dict[str, list[bytes]]:
    """The stream whole, byte by byte, in odd pieces, and with the beginning of another event."""
    return {
        "whole": [stream],
        "bytes": [stream[i : i + 1] for i in range(len(stream))],
        "sevens": [stream[i : i + 7] for i in range(0, len(stream), 7)],
        "tail": [stream, b": and then"],
    }


def seen_by(reader: Any) -> tuple[Any, ...]:
    """What a reader counted, without its times."""
    tally = reader.tally
    counts = (tally.counted, tally.text, tally.reasoning, tally.tool, tally.other)
    return (*counts, tally.usage, tally.finish_reason, tally.model, tally.malformed, tally.family)


@pytest.mark.parametrize("file", FILES)
def test_every_stream_gives_its_true_figures(file: str) -> None:
    """Counts, usage, model, finish and end, from its own route and from any odd one."""
    truth, stream = FILES[file].truth, FILES[file].raw
    families = [family for family in Family if family == truth["format"]] or [Family.UNKNOWN]
    odd = {Family.CHAT, Family.COMPLETIONS, Family.MESSAGES, Family.UNKNOWN}
    if families == [Family.UNKNOWN] and truth["format"] != "other":
        odd = {Family.UNKNOWN}  # Cohere and transcriptions have routes of their own.
    for family in {*families, *odd}:
        reader, kinds = play(family, stream)
        assert_true(reader.tally, truth)
        assert kinds.count(EventKind.ERROR) == truth["error_events"]
        broken = "truncated" in file or "error" in file
        assert (EventKind.END in kinds or reader.finished()) is not broken, family
        if truth["usage_where"] == "own event, empty choices":
            assert kinds.count(EventKind.USAGE) == 1
        else:
            assert EventKind.USAGE not in kinds


def assert_true(tally: Any, truth: dict[str, Any]) -> None:
    """The tally says what is known to be true of the stream."""
    counts = (truth["content_deltas"], truth["reasoning_deltas"], truth["tool_deltas"])
    assert (tally.text, tally.reasoning, tally.tool) == counts
    assert tally.model == (truth["model"] or "")
    assert tally.finish_reason == (truth["finish"][-1] if truth["finish"] else "")
    usage = truth["usage"]
    if usage is None:
        assert tally.usage is None
        return
    stated = tally.usage
    assert (stated.input, stated.output) == (usage["prompt"], usage["completion"])
    names = {"reasoning": "reasoning", "cached": "cached", "cache_read": "cached"}
    for name, ours in {**names, "prompt_with_cache": "input_total"}.items():
        if name in usage:
            assert getattr(stated, ours) == usage[name], name


@pytest.mark.parametrize("file", FILES)
def test_a_stream_gives_the_same_however_it_is_cut(file: str) -> None:
    """Whole, byte by byte, in sevens and with a tail."""
    stream = FILES[file].raw
    seen = {name: seen_by(play(Family.CHAT, pieces)[0]) for name, pieces in cuts(stream).items()}
    assert len(set(map(repr, seen.values()))) == 1, seen


def test_the_reader_is_what_the_relay_asks_for() -> None:
    """It has every member of the protocol."""
    reader: Reader = reader_for(Family.CHAT)
    assert (reader.first_token_at, reader.finishing) == (None, False)
    assert (reader.response_id, reader.sequence) == (None, None)


MESSAGE = [
    {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3}}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
CHAT = [
    {"choices": [{"index": 0, "delta": {"content": "Hi"}}], "model": "m"},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
GEMINI = [
    {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]},
]
RESPONSE = [
    {"type": "response.created", "response": {"id": "r"}},
    {"type": "response.output_text.delta", "delta": "Hi"},
    {"type": "response.completed", "response": {"id": "r"}},
]


@pytest.mark.parametrize("route", list(Family))
@pytest.mark.parametrize(
    ("documents", "family"),
    [
        (MESSAGE, Family.MESSAGES),
        (CHAT, Family.CHAT),
        (GEMINI, Family.GEMINI),
        (RESPONSE, Family.RESPONSES),
    ],
    ids=["messages", "chat", "gemini", "responses"],
)
def test_a_stream_on_an_odd_route_is_understood(
    route: Family, documents: list[Any], family: Family
) -> None:
    """Every family on every route, also when a ping or a prompt filter comes first."""
    firsts: list[list[Any]] = [[], [{"type": "ping"}], [{"choices": [], "model": ""}]]
    for first in firsts:
        reader, _ = play(route, sse(*first, *documents))
        tally = reader.tally
        assert (tally.family, tally.text, reader.finished()) == (family, 1, True)
        assert tally.first_token_at == len(first) + (family in {Family.MESSAGES, Family.RESPONSES})


def test_a_route_is_not_believed_against_the_stream() -> None:
    """A stream of no known shape on a known route ends well when it ends cleanly."""
    for length in (1, 20):
        reader, kinds = play(Family.CHAT, sse(*[{"step": n} for n in range(length)]))
        assert set(kinds) == {EventKind.DATA}
        assert reader.finished()
    assert reader.tally.family is Family.UNKNOWN
    assert reader.tally.first_token_at is not None


def test_nothing_at_all_is_not_finished() -> None:
    """A route with an empty stream is believed."""
    assert not play(Family.CHAT, b"")[0].finished()
    assert not play(Family.CHAT, sse({"choices": [], "prompt_filter_results": []}))[0].finished()


def token(word: str, **more: Any) -> str:
    """One chat event in compact form, as most upstreams send it."""
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    return json.dumps({"id": "c", "choices": [choice], **more}, separators=(",", ":"))


def test_likeness_changes_no_figure() -> None:
    """Events that are known by their likeness count, are timed and end like parsed ones."""
    reader, kinds = play(
        Family.CHAT,
        sse(
            token("a"),
            token("b"),
            token(""),
            token("c"),
            token('"'),
            token("d"),
            token("e", usage={"prompt_tokens": 3, "completion_tokens": 7}),
            token("f").replace('"finish_reason":null', '"finish_reason":"stop"'),
            "[DONE]",
        ),
    )
    tally = reader.tally
    assert kinds[-1] is EventKind.END
    assert (tally.text, tally.counted, tally.longest_gap) == (7, 7, 2.0)
    assert (tally.usage, tally.finish_reason, reader.finished()) == (Usage(3, 7), "stop", True)


def test_likeness_tells_the_channels_apart() -> None:
    """Each goes to its own count."""
    thoughts = [token("x").replace("content", "reasoning_content") for _ in range(5)]
    called = '"tool_calls":[{"index":0,"function":{"arguments":"x"}}]'
    calls = [token("x").replace('"content":"x"', called) for _ in range(4)]
    tally = play(Family.CHAT, sse(*thoughts, *[token("x") for _ in range(7)], *calls))[0].tally
    assert (tally.reasoning, tally.text, tally.tool) == (5, 7, 4)
    assert (tally.first_text_at, tally.counted) == (5.0, 16)


DELTAS = st.dictionaries(
    st.sampled_from(["content", "reasoning_content", "refusal", "role"]),
    st.sampled_from(["", "a", "b c", '"', "\\", "\n", "é", "[DONE]", '","x":"'])
    | st.none()
    | st.just([{"type": "text", "text": "a"}]),
    max_size=2,
)
CHUNKS = st.builds(
    lambda delta, index, finish, more: {
        "id": "c",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
        **more,
    },
    DELTAS,
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([None, None, None, None, "stop"]),
    st.sampled_from([{}, {}, {}, {"usage": {"prompt_tokens": 1}}, {"obfuscation": "xY"}]),
)


@given(st.lists(CHUNKS, max_size=30))
def test_likeness_tells_what_parsing_tells(chunks: list[Any]) -> None:
    """For any stream, the counts, times and kinds are those of a reader that parses all."""
    events = [json.dumps(chunk, separators=(",", ":")).encode() for chunk in chunks]
    quick, thorough = reader_for(Family.CHAT), reader_for(Family.CHAT)
    for second, data in enumerate(events):
        recognized = quick.token(b"data: %b\n\n" % data, float(second))
        kind = EventKind.DATA if recognized else quick.event(b"", data, float(second))
        assert kind is thorough.event(b"", data, float(second))
    assert quick.tally == thorough.tally
    assert quick.finished() == thorough.finished()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b'{"error": {"code": 429}}', EventKind.ERROR),
        (b'[{\n"error": {"code": 429}\n}]', EventKind.ERROR),
        (b'{"type": "error", "message": "x"}', EventKind.ERROR),
        (b'{\n  "error": {\n    "code": 42', EventKind.ERROR),
        (b'{"data": "error"}', EventKind.PING),
        (b"[]", EventKind.PING),
        (b"Internal Server Error", EventKind.PING),
        (b"", EventKind.PING),
    ],
)
def test_a_bare_json_error_is_an_error(text: bytes, kind: EventKind) -> None:
    """Whole or cut off, alone or in a list; other text says nothing."""
    assert reader_for(Family.GEMINI).stray(text, 1.0) is kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = [
    "choices",
    "delta",
    "message",
    "content",
    "text",
    "index",
    "finish_reason",
    "usage",
    "error",
    "type",
    "object",
    "id",
    "model",
    "reasoning",
    "reasoning_details",
    "tool_calls",
    "function_call",
    "audio",
    "images",
    "x_groq",
    "refusal",
    "response",
    "sequence_number",
    "candidates",
    "parts",
    "finishReason",
    "usageMetadata",
    "promptFeedback",
    "thought",
    "value",
    "thinking",
    "partial_json",
    "stop_reason",
    "amazon-bedrock-invocationMetrics",
]
SHAPED = st.recursive(
    JSON | st.sampled_from(["message_start", "response.completed", "error", "content-delta"]),
    lambda inner: (
        st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=6)
        | st.lists(inner, min_size=1, max_size=2)
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(list(Family)),
    st.lists(st.binary(max_size=40) | SHAPED.map(lambda value: json.dumps(value).encode())),
    st.sampled_from([b"", b"error", b"ping", b"message_delta", b"\xff"]),
)
def test_nothing_that_an_upstream_sends_can_raise(
    family: Family, events: list[bytes], name: bytes
) -> None:
    """Whatever the bytes, whatever the shape."""
    reader = reader_for(family)
    for second, data in enumerate(events):
        assert isinstance(reader.event(name, data, float(second)), EventKind)
        assert isinstance(reader.oversized(name, data, data, float(second)), EventKind)
        assert reader.stray(data, float(second)) in {EventKind.ERROR, EventKind.PING}
        assert isinstance(read_body(family, data).counted, int)
    assert isinstance(reader.finished(), bool)


@pytest.mark.parametrize(
    ("route", "body", "family", "usage", "finish"),
    [
        (
            Family.CHAT,
            {
                "id": "c",
                "object": "chat.completion",
                "model": "m",
                "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 7},
            },
            Family.CHAT,
            Usage(3, 7),
            "stop",
        ),
        (
            Family.COMPLETIONS,
            {
                "id": "c",
                "model": "m",
                "choices": [{"text": "Hi", "finish_reason": "length"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 7},
            },
            Family.COMPLETIONS,
            Usage(3, 7),
            "length",
        ),
        (
            Family.UNKNOWN,
            {
                "id": "c",
                "type": "message",
                "model": "m",
                "stop_reason": "tool_use",
                "usage": {"input_tokens": 3, "cache_read_input_tokens": 5, "output_tokens": 7},
            },
            Family.MESSAGES,
            Usage(3, 7, cached=5, input_beside=5),
            "tool_use",
        ),
        (
            Family.RESPONSES,
            {
                "id": "c",
                "object": "response",
                "model": "m",
                "status": "completed",
                "error": None,
                "usage": {"input_tokens": 3, "output_tokens": 7},
            },
            Family.RESPONSES,
            Usage(3, 7),
            "completed",
        ),
        (
            Family.GEMINI,
            {
                "candidates": [{"content": {"parts": []}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 7},
                "modelVersion": "m",
                "responseId": "c",
            },
            Family.GEMINI,
            Usage(3, 7),
            "STOP",
        ),
        (
            Family.GEMINI,
            [
                {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "modelVersion": "m"},
                {
                    "candidates": [{"finishReason": "STOP"}],
                    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 7},
                    "responseId": "c",
                },
            ],
            Family.GEMINI,
            Usage(3, 7),
            "STOP",
        ),
        (
            Family.UNKNOWN,
            {
                "id": "c",
                "object": "list",
                "model": "m",
                "data": [],
                "usage": {"prompt_tokens": 3, "total_tokens": 3},
            },
            Family.UNKNOWN,
            Usage(3),
            "",
        ),
    ],
    ids=["chat", "completions", "messages", "responses", "gemini", "gemini array", "embeddings"],
)
def test_an_answer_that_was_not_streamed_is_metered(
    route: Family, body: Any, family: Family, usage: Usage, finish: str
) -> None:
    """Usage, model, id and finish reason; no token is timed."""
    tally = read_body(route, json.dumps(body).encode())
    assert (tally.family, tally.usage, tally.finish_reason) == (family, usage, finish)
    assert (tally.model, tally.response_id, tally.error) == ("m", "c", "")
    assert (tally.counted, tally.first_token_at) == (0, None)


@pytest.mark.parametrize("family", list(Family))
def test_an_error_body_gives_its_kind(family: Family) -> None:
    """In every family."""
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "secret"}}
    assert read_body(family, json.dumps(body).encode()).error == "invalid_request_error"


def test_a_body_that_cannot_be_read_gives_an_empty_tally() -> None:
    """It is passed on all the same."""
    tally = read_body(Family.CHAT, b"<html>")
    assert (tally.usage, tally.malformed, tally.counted) == (None, 1, 0)
