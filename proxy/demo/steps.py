"""The steps of one answer on the wire: decided as plain values, carried out by the player."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Do(enum.Enum):
    """What a step does."""

    SEND = "write body bytes, framed as the head has announced"
    RAW = "write bytes that no framing touches"
    HANG = "be silent for `at` seconds; the schedule waits as well"
    FINISH = "end the body as its framing wants it"
    CLOSE = "close the connection once all is written"
    RESET = "reset the connection"


class Step(NamedTuple):
    """One step; `at` is its earliest time in seconds since the request, `events` what it holds."""

    do: Do
    data: bytes = b""
    at: float = 0.0
    events: int = 0


FINISH = Step(Do.FINISH)
CLOSE = Step(Do.CLOSE)
RESET = Step(Do.RESET)


def hang(seconds: float) -> Step:
    """Make a step of silence."""
    return Step(Do.HANG, at=seconds)
