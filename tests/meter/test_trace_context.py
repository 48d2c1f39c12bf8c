from __future__ import annotations

import pytest

from proxy.meter.trace_context import Context, onward

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


def test_a_valid_context_is_passed_on_as_it_is() -> None:
    """Also one that is not sampled."""
    assert onward(VALID) == VALID
    assert onward(f" {VALID} ") == VALID
    assert onward(VALID[:-2] + "00") == VALID[:-2] + "00"


def test_a_later_version_is_passed_on_as_ours() -> None:
    """What it adds is not known here."""
    assert onward(f"cc-{TRACE}-{SPAN}-01-more") == VALID


@pytest.mark.parametrize(
    "incoming",
    [
        None,
        "",
        "nonsense",
        VALID.upper(),
        VALID + "-more",
        VALID[:-1],
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"0x-{TRACE}-{SPAN}-01",
    ],
)
def test_without_a_valid_context_a_trace_is_begun(incoming: str | None) -> None:
    """A new one each time, sampled."""
    first, second = onward(incoming), onward(incoming)
    context = Context.of(first)
    assert context is not None
    assert context.flags == "01"
    assert TRACE not in first
    assert first != second


def test_a_child_stays_in_the_trace() -> None:
    """Under an id of its own."""
    context = Context.of(VALID)
    assert context is not None
    child = context.child()
    assert (child.trace, child.flags) == (TRACE, "01")
    assert child.parent != SPAN
