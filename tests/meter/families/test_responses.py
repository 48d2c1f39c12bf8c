from __future__ import annotations

from typing import Any

import pytest

from proxy.meter.tally import Usage
from proxy.record import EventKind, Family
from tests.meter.streams import play, sse

USAGE = {
    "input_tokens": 13,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
    "output_tokens": 284,
    "output_tokens_details": {"reasoning_tokens": 256},
    "total_tokens": 297,
}


def response(kind: str, **more: Any) -> Any:
    """An event that holds the response itself."""
    return {
        "type": f"response.{kind}",
        "sequence_number": 9,
        "response": {"id": "resp_1", "model": "gpt-x", "error": None, **more},
    }


@pytest.mark.parametrize(
    ("kind", "text", "reasoning", "tool", "other"),
    [
        ("output_text.delta", 1, 0, 0, 0),
        ("refusal.delta", 1, 0, 0, 0),
        ("audio.transcript.delta", 1, 0, 0, 0),
        ("reasoning_text.delta", 0, 1, 0, 0),
        ("reasoning_summary_text.delta", 0, 1, 0, 0),
        ("function_call_arguments.delta", 0, 0, 1, 0),
        ("custom_tool_call_input.delta", 0, 0, 1, 0),
        ("mcp_call_arguments.delta", 0, 0, 1, 0),
        ("code_interpreter_call_code.delta", 0, 0, 1, 0),
        ("shell_call_command.delta", 0, 0, 1, 0),
        ("audio.delta", 0, 0, 0, 1),
        ("something_new.delta", 0, 0, 0, 1),
        ("shell_call_output_content.delta", 0, 0, 0, 0),
        ("output_text.done", 0, 0, 0, 0),
        ("output_item.added", 0, 0, 0, 0),
    ],
)
def test_a_delta_of_any_kind_is_a_token_of_its_channel(
    kind: str, text: int, reasoning: int, tool: int, other: int
) -> None:
    """Deltas are tokens; what a tool printed, and what only repeats, is none."""
    event = {"type": f"response.{kind}", "sequence_number": 5, "delta": "x", "obfuscation": "a"}
    reader, kinds = play(Family.RESPONSES, sse(event, named=True))
    tally = reader.tally
    assert (tally.text, tally.reasoning, tally.tool, tally.other) == (text, reasoning, tool, other)
    assert kinds == [EventKind.DATA]
    assert reader.sequence == 5


def test_an_empty_delta_is_no_token() -> None:
    """Though it is data."""
    event = {"type": "response.output_text.delta", "delta": ""}
    assert play(Family.RESPONSES, sse(event))[0].tally.counted == 0


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("completed", EventKind.END),
        ("incomplete", EventKind.END),
        ("cancelled", EventKind.END),
        ("failed", EventKind.ERROR),
    ],
)
def test_every_ending_has_usage_and_finishes_the_stream(kind: str, expected: EventKind) -> None:
    """Usage, id and model stand in the response that the ending holds."""
    reader, kinds = play(Family.RESPONSES, sse(response("created"), response(kind, usage=USAGE)))
    assert kinds == [EventKind.DATA, expected]
    assert reader.tally.usage == Usage(13, 284, 256, 4, 2)
    assert (reader.response_id, reader.tally.model, reader.sequence) == ("resp_1", "gpt-x", 9)
    assert (reader.finished(), reader.tally.finish_reason) == (True, kind)


def test_a_failure_keeps_the_kind_of_its_error() -> None:
    """The code, not the words."""
    failed = response("failed", error={"code": "server_error", "message": "secret words"})
    assert play(Family.RESPONSES, sse(failed))[0].tally.error == "server_error"


def test_an_error_event_is_an_error() -> None:
    """It stands alone, with its code at the top."""
    error = {"type": "error", "sequence_number": 3, "code": "ERR_X", "message": "m", "param": None}
    reader, kinds = play(Family.RESPONSES, sse(error, named=True))
    assert kinds == [EventKind.ERROR]
    assert (reader.tally.error, reader.sequence) == ("ERR_X", 3)


def test_a_keepalive_is_a_ping_that_counts_in_the_sequence() -> None:
    """The terminal error must go on from its number."""
    reader, kinds = play(Family.RESPONSES, sse({"type": "keepalive", "sequence_number": 7}))
    assert (kinds, reader.sequence) == ([EventKind.PING], 7)


def test_only_its_own_ending_finishes_a_response() -> None:
    """Neither an item's end nor a stray `[DONE]` does."""
    stream = sse(
        response("created"),
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": "response.output_item.done", "item": {"status": "completed"}},
        "[DONE]",
    )
    reader, kinds = play(Family.RESPONSES, stream)
    assert kinds[-1] is EventKind.DATA
    assert not reader.finished()
    _, kinds = play(Family.RESPONSES, sse(response("completed"), "[DONE]"))
    assert kinds == [EventKind.END, EventKind.END]


def test_a_last_event_too_long_to_hold_still_gives_its_usage() -> None:
    """It repeats the whole answer, so a long answer's last event is long."""
    output = [{"type": "message", "content": [{"type": "output_text", "text": 'x" }' * 900_000}]}]
    ending = response("completed", output=output, usage=USAGE, metadata={})
    for named in (True, False):
        reader, kinds = play(Family.RESPONSES, sse(response("created"), ending, named=named))
        assert kinds[-1] is EventKind.END
        assert reader.tally.usage == Usage(13, 284, 256, 4, 2)
        assert (reader.sequence, reader.finished()) == (9, True)


def test_a_delta_too_long_to_hold_is_one_token_event() -> None:
    """Whatever its length."""
    event = {"type": "response.function_call_arguments.delta", "delta": "x" * 2_000_000}
    assert play(Family.RESPONSES, sse(event))[0].tally.tool == 1
