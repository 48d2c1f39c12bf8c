from __future__ import annotations

from proxy.demo.events import Part
from proxy.demo.families.completions import COMPLETIONS, read
from proxy.demo.plan import Plan
from tests.demo.families.recorded import keys, recording, said, streamed


def test_chunks_look_like_the_recorded_ones() -> None:
    """Each key of a real chunk is there; only the fingerprint is the demo's own."""
    real = recording("openai-completions-legacy")
    ours = said(streamed(COMPLETIONS, include_usage=True))
    for place in (0, -1):
        assert keys(ours[place]) - keys(real[place]) == {"system_fingerprint"}
        assert keys(real[place]) <= keys(ours[place])
    assert keys(real[0], "choices", 0) == keys(ours[0], "choices", 0)


def test_parts() -> None:
    """There is no role to open with."""
    parts = [event.part for event in streamed(COMPLETIONS, include_usage=True)]
    assert parts == [*[Part.TOKEN] * 4, Part.FINISH, Part.USAGE, Part.END]


def test_only_text() -> None:
    """Neither reasoning nor tools exist here, whatever the plan says."""
    ask = read({"model": "demo", "prompt": ["a", "b"]}, Plan(tokens=4, reasoning=9, tools=2))
    assert (ask.output_tokens, ask.calls) == (4, ())
