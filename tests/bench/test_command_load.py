from __future__ import annotations

import argparse

import pytest

from bench.command_load import add_load, pace_argument
from bench.upstream.pace import Pace


def test_a_pace_on_the_command_line() -> None:
    """It is read, or refused with what would be right."""
    assert pace_argument("50-5-0.1") == Pace(50, 5, 0.1)
    with pytest.raises(argparse.ArgumentTypeError, match="RATE-TOKENS-TTFT"):
        pace_argument("fast")


@pytest.mark.parametrize("kind", ["streams", "first", "plain"])
def test_a_load_by_hand(kind: str) -> None:
    """A port is all it needs."""
    parser = argparse.ArgumentParser()
    add_load(parser)
    chosen = parser.parse_args([kind, "--port=1"])
    assert isinstance(chosen.pace, Pace)
