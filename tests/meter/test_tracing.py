from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.meter.tracing import SpansUnavailable, spans_asked_for


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
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert output.stdout == "False\n"
