from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.meter.tracing import Context, SpansUnavailable, onward, spans_asked_for

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


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_made_that_was_not_asked_for(environ: dict[str, str]) -> None:
    """The environment decides."""
    assert spans_asked_for(environ) is None


def test_a_missing_extra_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "proxy.meter.spans", raising=False)
    with pytest.raises(SpansUnavailable, match=r"sluice\[otel\]"):
        spans_asked_for({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})


def test_the_sdk_is_not_loaded_unless_asked_for() -> None:
    """It would cost every worker its start."""
    code = "import sys, proxy.meter.tracing; print('opentelemetry' in sys.modules)"
    root = Path(__file__).parents[2]
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert said.stdout == "False\n"
