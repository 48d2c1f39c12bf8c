"""`event: progress` frames: between a stream's own events, never inside one, and in no log."""

from __future__ import annotations

import json
from typing import Any

FRAME_SECONDS = 0.5
"""From one frame to the next."""
_AT_THE_END = ("elapsed_seconds", "tokens", "tokens_per_second")


class ProgressFrames:
    """The frames of one reader, whose percentage never runs backwards."""

    def __init__(self) -> None:
        self._percent = 0.0

    def frame(self, said: dict[str, Any]) -> bytes:
        """One frame; empty where the stream has ended, of which `last` tells."""
        if said.get("stage") == "ended":
            return b""
        if "percent" in said:
            self._percent = max(self._percent, said["percent"])
            said = {**said, "percent": self._percent}
        elif self._percent:
            said = {**said, "percent": self._percent}
        return _frame(said)

    def last(self, figures: dict[str, Any]) -> bytes:
        """The frame of the end: 100, exactly."""
        said = {name: figures.get(name) for name in _AT_THE_END}
        return _frame({"stage": "ended", **said, "percent": 100, "left_seconds": 0})


def _frame(said: dict[str, Any]) -> bytes:
    return f"event: progress\ndata: {json.dumps(said)}\n\n".encode()
