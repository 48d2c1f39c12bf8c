"""The steps of one answer on the wire: decided as plain values, carried out by the player."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Action(enum.Enum):
    """What a step does."""

    SEND = "write body bytes, framed as the head has announced"
    RAW = "write bytes that no framing touches"
    HANG = "be silent for `at` seconds; the schedule waits as well"
    FINISH = "end the body as its framing wants it"
    CLOSE = "close the connection once all is written"
    RESET = "reset the connection"


class Step(NamedTuple):
    """One step; `at` is its earliest time in seconds since the request, `events` what it holds."""

    do: Action
    data: bytes = b""
    at: float = 0.0
    events: int = 0


FINISH = Step(Action.FINISH)
CLOSE = Step(Action.CLOSE)
RESET = Step(Action.RESET)


def hang(seconds: float) -> Step:
    """Make a step of silence."""
    return Step(Action.HANG, at=seconds)
