from __future__ import annotations

import pytest

from proxy.meter.tally import (
    OTHER,
    REASONING,
    TEXT,
    TOOL,
    Tally,
    Usage,
    decode_time,
    decoded_tokens,
    longest_gap,
    pace,
    time_to_first_byte,
    time_to_first_text,
    time_to_first_token,
    tokens_after_leaving,
)
from proxy.record import Family, RequestRecord


def record(**known: float) -> RequestRecord:
    """A request that came at 100 s."""
    made = RequestRecord("r", "POST", "/v1/chat/completions", Family.CHAT, started_at=100.0)
    for name, value in known.items():
        setattr(made, name, value)
    return made


def tally(*events: tuple[float, int], usage: Usage | None = None) -> Tally:
    """A tally of events at these times."""
    made = Tally(usage=usage)
    for at, channels in events:
        made.count(channels, at)
    return made


def test_three_firsts_are_three_figures() -> None:
    """The first byte, the first token of any channel, the first text that a person sees."""
    seen = tally((102.0, TOOL), (103.0, TEXT), (104.0, TEXT))
    request = record(first_byte_at=101.0)
    assert time_to_first_byte(request) == 1.0
    assert time_to_first_token(request, seen) == 2.0
    assert time_to_first_text(request, seen) == 3.0


def test_what_never_came_has_no_figure() -> None:
    """Absent is absent, never 0."""
    request, nothing = record(), Tally()
    assert time_to_first_byte(request) is None
    assert time_to_first_token(request, nothing) is None
    assert time_to_first_text(request, nothing) is None
    assert decode_time(nothing) is None
    assert longest_gap(nothing) is None
    assert decoded_tokens(nothing) is None
    assert pace(nothing) is None


def test_progress_without_tokens_is_no_first_token() -> None:
    """Data of an unknown family is timed for the relay's clocks alone."""
    seen = Tally()
    seen.progressed(101.0)
    seen.progressed(105.0)
    assert seen.first_token_at == 101.0
    assert time_to_first_token(record(), seen) is None
    assert decode_time(seen) is None


def test_one_event_may_carry_several_channels() -> None:
    """It is one event all the same."""
    seen = tally((1.0, TEXT | REASONING | OTHER))
    assert (seen.counted, seen.text, seen.reasoning, seen.tool, seen.other) == (1, 1, 1, 0, 1)


def test_the_pace_is_that_of_the_tokens_after_the_first() -> None:
    """Ten more tokens in five seconds: half a second each, two a second."""
    seen = tally((1.0, TEXT), (2.0, TEXT), (6.0, TEXT), usage=Usage(3, 11))
    assert decode_time(seen) == 5.0
    assert longest_gap(seen) == 4.0
    assert pace(seen) == (0.5, 2.0, "usage")


def test_without_usage_the_events_are_counted() -> None:
    """And the figure says so."""
    seen = tally((1.0, TEXT), (2.0, TEXT), (3.0, TEXT))
    assert pace(seen) == (1.0, 1.0, "counted")


@pytest.mark.parametrize(
    ("usage", "reasoning_seen", "tokens"),
    [
        (Usage(13, 284, 256), False, 28),
        (Usage(13, 284, 256), True, 284),
        (Usage(8, 7, 20, output_beside=20), False, 7),
        (Usage(8, 7, 20, output_beside=20), True, 27),
        (Usage(8, 7), False, 7),
    ],
)
def test_hidden_reasoning_is_no_part_of_the_pace(
    usage: Usage, reasoning_seen: bool, tokens: int
) -> None:
    """It was made before the first token that came; counted in, the rate would be a lie."""
    first = REASONING if reasoning_seen else TEXT
    assert decoded_tokens(tally((1.0, first), (2.0, TEXT), usage=usage)) == (tokens, "usage")


@pytest.mark.parametrize(
    "seen",
    [
        tally((1.0, TEXT), usage=Usage(3, 9)),
        tally((1.0, TEXT), (1.0, TEXT), usage=Usage(3, 9)),
    ],
    ids=["one event", "all at once"],
)
def test_no_pace_where_no_time_or_no_token_passed(seen: Tally) -> None:
    """There is nothing to divide."""
    assert pace(seen) is None


@pytest.mark.parametrize("stated", [0, 1, None])
def test_usage_below_what_was_seen_is_not_final(stated: int | None) -> None:
    """A message that is cut has only what its first event said."""
    seen = tally((1.0, TEXT), (2.0, TEXT), (3.0, TEXT), usage=Usage(3, stated))
    assert decoded_tokens(seen) == (3, "counted")


def test_totals_mean_the_same_for_every_upstream() -> None:
    """Caches within the input, reasoning within the output, wherever the provider puts them."""
    assert Usage(4, 9, cached=6, input_beside=6).input_total == 10
    assert Usage(4, 9, 5, output_beside=5).output_total == 14
    assert Usage(4, None, 5, output_beside=5).output_total == 5
    assert Usage().input_total is None
    assert Usage(output_beside=0).output_total is None


def test_later_usage_takes_over_what_it_says() -> None:
    """And leaves what it does not mention."""
    seen = Tally()
    seen.stated(None)
    seen.stated(Usage(4, 1, cached=3))
    seen.stated(Usage(4, 9))
    assert seen.usage == Usage(4, 9, cached=3)


def test_tokens_after_the_client_left_are_counted_apart() -> None:
    """From the first time it is told."""
    seen = tally((1.0, TEXT), (2.0, TEXT))
    assert tokens_after_leaving(seen) == 0
    seen.client_left()
    seen.count(TEXT, 3.0)
    seen.client_left()
    assert tokens_after_leaving(seen) == 1
