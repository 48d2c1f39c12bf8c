from __future__ import annotations

from proxy.meter.tally import Usage
from proxy.record import EventKind, Family
from tests.meter.streams import play, sse


def test_text_of_a_choice_is_a_token_and_empty_text_is_none() -> None:
    """Legacy chunks carry text; logprobs beside it change nothing."""
    logprobs = {"tokens": ["Hi"], "token_logprobs": [-0.1]}
    reader, kinds = play(
        Family.COMPLETIONS,
        sse(
            {"object": "text_completion", "choices": [{"index": 0, "text": ""}]},
            {"choices": [{"index": 0, "text": "Hi", "logprobs": logprobs, "finish_reason": None}]},
            {"choices": [{"index": 0, "text": "", "finish_reason": "length"}], "model": "b"},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
            "[DONE]",
        ),
    )
    tally = reader.tally
    assert kinds == [EventKind.DATA, EventKind.DATA, EventKind.DATA, EventKind.USAGE, EventKind.END]
    assert (tally.text, tally.first_token_at, tally.finish_reason) == (1, 1.0, "length")
    assert (tally.usage, tally.model, tally.family) == (Usage(3, 1), "b", Family.COMPLETIONS)
    assert reader.finished()


def test_a_chunk_with_both_text_and_delta_counts_once() -> None:
    """Together's chunks repeat the delta's content as text."""
    both = {"choices": [{"index": 0, "text": "Hi", "delta": {"content": "Hi"}}]}
    assert play(Family.COMPLETIONS, sse(both))[0].tally.counted == 1
