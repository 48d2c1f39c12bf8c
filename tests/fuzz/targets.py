"""What there is to fuzz, and recorded streams to begin with where they are at hand."""

from __future__ import annotations

from importlib import import_module

from tests.fixtures.recordings import stream_files
from tests.fuzz.cuts import Target

NAMES = ("sse", "stream", "chunks", "takeover")


def target(name: str) -> Target:
    """The target of this name; what it fuzzes is imported only now, so that it can be traced."""
    loaded = import_module(f"tests.fuzz.{name}").TARGET
    assert isinstance(loaded, Target)
    return loaded


def recorded(longest: int) -> list[bytes]:
    """How the recorded streams begin."""
    return [file.raw[:longest] for file in stream_files().values()]
