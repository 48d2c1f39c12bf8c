"""What there is to fuzz, and recorded streams to begin with where they are at hand."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tests.fuzz.cuts import Target

NAMES = ("sse", "stream", "chunks", "takeover")
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def target(name: str) -> Target:
    """The target of this name; what it fuzzes is imported only now, so that it can be traced."""
    found = import_module(f"tests.fuzz.{name}").TARGET
    assert isinstance(found, Target)
    return found


def recorded(longest: int) -> list[bytes]:
    """How the recorded streams begin."""
    return [path.read_bytes()[:longest] for path in sorted(CORPUS.glob("*.sse"))]
