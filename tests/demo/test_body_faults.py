from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy.demo.body_faults import FaultContext, ending, places_of, with_faults
from proxy.demo.families.chat import CHAT
from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from proxy.demo.steps import CLOSE, FINISH, RESET, Action, Step, hang

if TYPE_CHECKING:
    from proxy.demo.grammar_values import Value

FRAMES = [b"first", b"second", "drïtte".encode(), b"fourth"]


def struck(chunked: bool = True, **faults: Value) -> list[Step]:
    """Give the steps of four events with the faults."""
    plan = Plan(faults={name.replace("_", "-"): value for name, value in faults.items()})
    ask = GenerationRequest(plan=plan, model="demo", stream=True, prompt_tokens=1)

    def scene(step: Step, sent: int) -> FaultContext:
        return FaultContext(ask, CHAT, lambda event: event.data, chunked, step, sent)

    steps = [Step(Action.SEND, frame, 0.0, 1) for frame in FRAMES]
    return list(with_faults(steps, places_of(plan), scene))


def sent(steps: list[Step]) -> list[bytes]:
    """Give what is sent as the body."""
    return [step.data for step in steps if step.do is Action.SEND]


def test_nothing_strikes() -> None:
    """Without an incident all is sent and the body ends."""
    steps = struck()
    assert sent(steps) == FRAMES
    assert steps[-1] == FINISH


@pytest.mark.parametrize(
    ("faults", "expected", "last"),
    [
        ({"cut": 0}, [], CLOSE),
        ({"cut": 2}, FRAMES[:2], CLOSE),
        ({"cut": 9}, FRAMES, CLOSE),
        ({"cut_inside": 1}, [b"first", b"sec"], CLOSE),
        ({"cut_utf8": 0}, [b"first", b"second", b"dr\xc3"], CLOSE),
        ({"cut_utf8": 3}, [*FRAMES, b""], CLOSE),
        ({"cut_reset": 1}, FRAMES[:1], RESET),
        ({"cut_clean": 1}, FRAMES[:1], FINISH),
    ],
)
def test_cuts(faults: dict[str, Any], expected: list[bytes], last: Step) -> None:
    """Just so much is sent, and the end is the one that the fault names."""
    steps = struck(**faults)
    assert sent(steps) == expected
    assert steps[-1] == last


def test_a_torn_chunk() -> None:
    """The size of the whole is announced, half of it follows; without chunks there is no size."""
    assert struck(cut_chunk=1)[1].data == b"6\r\nsec"
    assert struck(chunked=False, cut_chunk=1)[1].data == b"sec"
    assert struck(bad_chunk=1)[1].data == b"not a size\r\nsecond\r\n"


def test_a_hang_goes_on() -> None:
    """After the silence comes the rest, and another incident may follow."""
    steps = struck(hang=1, cut=3)
    assert steps[1] == hang(float("inf"))
    assert sent(steps) == FRAMES[:3]


def test_errors() -> None:
    """An error event counts as an event, a bare error does not; both end the body cleanly."""
    event, bare = struck(error=1), struck(json_error=1)
    assert [step.events for step in event] == [1, 1, 0]
    assert [step.events for step in bare] == [1, 0, 0]
    assert b'"error"' in event[1].data
    assert bare[1].data.startswith(b"{\n")
    assert event[-1] == bare[-1] == FINISH


def test_endings() -> None:
    """Garbage has its size and its place, and a wrong length cannot be followed by anything."""
    steps = list(ending(Plan(faults={"garbage": 50, "garbage-after": 7, "length-long": 1})))
    assert [step.do for step in steps] == [Action.SEND, Action.FINISH, Action.RAW, Action.CLOSE]
    assert [len(step.data) for step in steps] == [50, 0, 7, 0]
