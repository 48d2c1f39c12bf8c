"""The steps of sending a response: plain values, which `player` executes."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Action(enum.Enum):
    """What a step does."""

    SEND = "write body bytes, framed as the head has announced"
    RAW = "write bytes without framing"
    HANG = "be silent for `at` seconds; the schedule waits as well"
    FINISH = "end the body as its framing requires"
    CLOSE = "close the connection after everything is written"
    RESET = "reset the connection"


class Step(NamedTuple):
    """One step; `at` is its earliest time in seconds since the request, `events` its events."""

    do: Action
    data: bytes = b""
    at: float = 0.0
    events: int = 0


FINISH = Step(Action.FINISH)
CLOSE = Step(Action.CLOSE)
RESET = Step(Action.RESET)


def hang(seconds: float) -> Step:
    """Return a step of silence."""
    return Step(Action.HANG, at=seconds)
