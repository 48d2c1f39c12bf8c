from __future__ import annotations

from proxy.demo.steps import CLOSE, FINISH, RESET, Action, Step, hang


def test_steps_without_data() -> None:
    """The ends carry no bytes and count as no event; a silence carries its seconds."""
    assert [step.do for step in (FINISH, CLOSE, RESET)] == [
        Action.FINISH,
        Action.CLOSE,
        Action.RESET,
    ]
    assert hang(2.5) == Step(Action.HANG, at=2.5)
    assert {(step.data, step.events) for step in (FINISH, CLOSE, RESET, hang(1))} == {(b"", 0)}
