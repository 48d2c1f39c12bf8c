from __future__ import annotations

from typing import Any

import pytest

from proxy.meter.tally import Usage
from proxy.record import EventKind, Family
from tests.meter.streams import play, sse


def start(**usage: Any) -> Any:
    """The first event of a message."""
    message = {"id": "msg_1", "model": "claude-x", "content": [], "usage": usage}
    return {"type": "message_start", "message": message}


def delta(**fields: Any) -> Any:
    """One delta of a content block."""
    return {"type": "content_block_delta", "index": 0, "delta": fields}


def end(reason: str | None = "end_turn", **usage: Any) -> Any:
    """The event with the stop reason and the output's usage."""
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


STOP = {"type": "message_stop"}


@pytest.mark.parametrize(
    ("event", "text", "reasoning", "tool", "other"),
    [
        (delta(type="text_delta", text="Hi"), 1, 0, 0, 0),
        (delta(type="thinking_delta", thinking="So"), 0, 1, 0, 0),
        (delta(type="input_json_delta", partial_json='{"a'), 0, 0, 1, 0),
        (delta(type="compaction_delta", content="So far"), 0, 0, 0, 1),
        (delta(type="text_delta", text=""), 0, 0, 0, 0),
        (delta(type="thinking_delta", thinking=""), 0, 0, 0, 0),
        (delta(type="input_json_delta", partial_json=""), 0, 0, 0, 0),
        (delta(type="signature_delta", signature="c2ln"), 0, 0, 0, 0),
        (delta(type="citations_delta", citation={"cited_text": "x"}), 0, 0, 0, 0),
        (
            {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
            0,
            0,
            0,
            0,
        ),
        (
            {
                "type": "content_block_start",
                "content_block": {"type": "server_tool_use", "name": "w"},
            },
            0,
            0,
            0,
            0,
        ),
        ({"type": "content_block_stop", "index": 0}, 0, 0, 0, 0),
        ({"type": "something_new"}, 0, 0, 0, 0),
    ],
)
def test_only_deltas_with_something_in_them_are_tokens(
    event: Any, text: int, reasoning: int, tool: int, other: int
) -> None:
    """Block starts, signatures, citations and empty deltas are none."""
    reader, kinds = play(Family.MESSAGES, sse(event, named=True))
    tally = reader.tally
    assert (tally.text, tally.reasoning, tally.tool, tally.other) == (text, reasoning, tool, other)
    assert kinds == [EventKind.DATA]
    assert tally.malformed == 0


def test_usage_spread_over_start_and_end_is_one_usage() -> None:
    """The input stands in the first event and the output in the last."""
    stream = sse(
        start(
            input_tokens=4,
            cache_read_input_tokens=1165,
            cache_creation_input_tokens=0,
            output_tokens=1,
        ),
        delta(type="text_delta", text="Hi"),
        end(output_tokens=221),
        STOP,
        named=True,
    )
    reader, kinds = play(Family.MESSAGES, stream)
    usage = reader.tally.usage
    assert usage == Usage(4, 221, cached=1165, cache_write=0, input_beside=1165)
    assert (usage.input_total, usage.output_total) == (1169, 221)
    assert kinds[-1] is EventKind.END
    assert reader.finished()


@pytest.mark.parametrize(
    "last",
    [
        {"input_tokens": 80, "output_tokens": 9},
        {"input_tokens": 0, "output_tokens": 9, "cache_read_input_tokens": None},
        {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}},
    ],
    ids=["twice", "zero filled", "with details"],
)
def test_usage_given_twice_or_filled_with_zeros_counts_once(last: dict[str, Any]) -> None:
    """Counts there only grow, so a later 0 corrects nothing."""
    stream = sse(start(input_tokens=80, output_tokens=1), end(**last), STOP)
    usage = play(Family.MESSAGES, stream)[0].tally.usage
    assert usage is not None
    assert (usage.input, usage.output) == (80, 9)


def test_input_that_is_only_known_at_the_end_is_taken_from_there() -> None:
    """Some compatible upstreams start with zeros."""
    stream = sse(
        start(input_tokens=0, output_tokens=0), end(input_tokens=33, output_tokens=9), STOP
    )
    usage = play(Family.MESSAGES, stream)[0].tally.usage
    assert usage == Usage(33, 9)


def test_usage_that_bedrock_adds_to_the_last_event_is_used() -> None:
    """Where the events themselves name none."""
    metrics = {"inputTokenCount": 12, "outputTokenCount": 5, "invocationLatency": 900}
    stream = sse(start(), end(), {**STOP, "amazon-bedrock-invocationMetrics": metrics})
    assert play(Family.MESSAGES, stream)[0].tally.usage == Usage(12, 5)


def test_a_ping_is_a_ping() -> None:
    """It carries data and still says nothing."""
    assert play(Family.MESSAGES, sse({"type": "ping"}, named=True))[1] == [EventKind.PING]


def test_overload_inside_a_200_is_an_error_with_its_kind() -> None:
    """So that the relay can tell it from other failures."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    reader, kinds = play(Family.MESSAGES, sse(error, named=True))
    assert kinds == [EventKind.ERROR]
    assert reader.tally.error == "overloaded_error"


def test_a_stream_is_finished_by_its_stop_reason() -> None:
    """Before it, a clean end is a cut; a stray `[DONE]` does not change that."""
    begun = sse(start(input_tokens=1), delta(type="text_delta", text="Hi"))
    reader, _ = play(Family.MESSAGES, begun)
    assert not reader.finished()
    reader, kinds = play(Family.MESSAGES, begun + sse("[DONE]"))
    assert kinds[-1] is EventKind.DATA
    assert not reader.finished()
    assert play(Family.MESSAGES, begun + sse(end()))[0].finished()
    assert not play(Family.MESSAGES, begun + sse(end(None)))[0].finished()


def test_events_without_a_type_go_by_their_name() -> None:
    """The SSE name says the same."""
    stream = b'event: content_block_delta\ndata: {"delta": {"text": "Hi"}}\n\n'
    assert play(Family.MESSAGES, stream)[0].tally.text == 1


def test_the_padding_that_anthropic_adds_changes_nothing() -> None:
    """Spaces before a closing brace are JSON."""
    padded = sse(delta(type="text_delta", text="Hi")).replace(b"}}", b"}        }")
    assert play(Family.MESSAGES, padded)[0].tally.text == 1


@pytest.mark.parametrize(
    ("event", "kind", "counted"),
    [
        (delta(type="input_json_delta", partial_json="x" * 2_000_000), EventKind.DATA, 1),
        (delta(type="text_delta", text="x" * 2_000_000), EventKind.DATA, 1),
        (
            {
                "type": "content_block_start",
                "content_block": {"type": "web_search_tool_result", "content": "x" * 2_000_000},
            },
            EventKind.DATA,
            0,
        ),
        ({"type": "error", "error": {"message": "x" * 2_000_000}}, EventKind.ERROR, 0),
        ({"type": "message_stop", "padding": "x" * 2_000_000}, EventKind.END, 0),
    ],
)
def test_an_event_too_long_to_hold_is_judged_by_its_ends(
    event: Any, kind: EventKind, counted: int
) -> None:
    """A tool's input or result may be megabytes long."""
    for named in (True, False):
        reader, kinds = play(Family.MESSAGES, sse(event, named=named))
        assert kinds == [kind]
        assert reader.tally.counted == counted


def test_usage_at_the_end_of_an_oversized_event_is_found() -> None:
    """It stands in the tail."""
    big = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_details": "x" * 2_000_000},
        "usage": {"output_tokens": 9},
    }
    reader, _ = play(Family.MESSAGES, sse(start(input_tokens=3), big))
    assert reader.tally.usage == Usage(3, 9)
    assert reader.finished()
