"""Builds `event: progress` frames, which are sent between a stream's events and never logged."""

from __future__ import annotations

import json
from typing import Any

FRAME_SECONDS = 0.5
"""The interval between frames."""
_AT_THE_END = ("elapsed_seconds", "tokens", "tokens_per_second")


class ProgressFrames:
    """The frames of one reader; their percentage never decreases."""

    def __init__(self) -> None:
        self._percent = 0.0

    def frame(self, figures: dict[str, Any]) -> bytes:
        """Build a frame; empty if the stream has ended: `last` builds the final one."""
        if figures.get("stage") == "ended":
            return b""
        if "percent" in figures:
            self._percent = max(self._percent, figures["percent"])
            figures = {**figures, "percent": self._percent}
        elif self._percent:
            figures = {**figures, "percent": self._percent}
        return _frame(figures)

    def last(self, figures: dict[str, Any]) -> bytes:
        """Build the final frame, at 100 percent."""
        final = {name: figures.get(name) for name in _AT_THE_END}
        return _frame({"stage": "ended", **final, "percent": 100, "left_seconds": 0})


def _frame(figures: dict[str, Any]) -> bytes:
    return f"event: progress\ndata: {json.dumps(figures)}\n\n".encode()
