"""Frames that say how far a stream is."""

from __future__ import annotations

import json
from typing import Any

from proxy.edge.progress_frames import ProgressFrames


def figures_in(frame: bytes) -> dict[str, Any]:
    """What a frame says; it must be one whole event, and named."""
    name, data, nothing, rest = frame.split(b"\n")
    assert (name, nothing, rest) == (b"event: progress", b"", b"")
    figures: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
    return figures


def test_the_percentage_never_runs_backwards() -> None:
    """An estimate that was too high is kept until it is reached; one that is gone, too."""
    frames = ProgressFrames()
    reports = [{"percent": 10.0}, {"percent": 7.0}, {}, {"percent": 11.0}]
    percents = [
        figures_in(frames.frame({"stage": "generating", **more}))["percent"] for more in reports
    ]
    assert percents == [10.0, 10.0, 10.0, 11.0]


def test_without_an_estimate_there_is_none() -> None:
    """A guess would be a lie."""
    assert "percent" not in figures_in(ProgressFrames().frame({"stage": "waiting"}))


def test_what_it_is_told_is_left_as_it_is() -> None:
    """Several readers are told by the same figures, each at a percentage of its own."""
    frames, progress = ProgressFrames(), {"stage": "generating", "percent": 5.0}
    frames.frame({"stage": "generating", "percent": 50.0})
    frames.frame(progress)
    assert progress["percent"] == 5.0


def test_only_the_last_frame_tells_of_the_end() -> None:
    """With exactly 100, and what the whole answer came to."""
    frames = ProgressFrames()
    assert frames.frame({"stage": "ended"}) == b""
    last = figures_in(frames.last({"tokens": 7, "elapsed_seconds": 1.5, "place": 3}))
    assert last == {
        "stage": "ended",
        "elapsed_seconds": 1.5,
        "tokens": 7,
        "tokens_per_second": None,
        "percent": 100,
        "left_seconds": 0,
    }
