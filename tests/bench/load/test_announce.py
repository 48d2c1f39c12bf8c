from __future__ import annotations

import json

import pytest

from bench.load.announce import announce


def test_an_event_is_announced(capsys: pytest.CaptureFixture[str]) -> None:
    """It is one line of JSON."""
    announce("window", start=1)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"event": "window", "start": 1}
