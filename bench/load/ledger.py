"""What the streams of one run received, token by token."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import Any

from bench.load.answers import Ending
from bench.measure.figures import Distribution, distribution

_MICROSECOND = 1000


class Ledger:
    """When every token was received, sent and due, in monotonic nanoseconds; how streams ended."""

    def __init__(self) -> None:
        self._received = array("q")
        self._sent = array("q")
        self._due = array("q")
        self.endings: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._received)

    def token(self, received: int, sent: int, due: int) -> None:
        """Writes one token down."""
        self._received.append(received)
        self._sent.append(sent)
        self._due.append(due)

    def ended(self, ending: Ending, status: int) -> None:
        """Writes one stream's end down."""
        name = ending.value
        self.endings[f"{name} {status}" if ending is Ending.REFUSED else name] += 1

    def figures(self, start: int, end: int) -> dict[str, Any]:
        """The window's figures; delays and latenesses in microseconds.

        `received` counts what arrived in the window (the denominator of the CPU time spent in it),
        the distributions are those of the tokens that were due in it.
        """
        rows = zip(self._received, self._sent, self._due, strict=True)
        due = [row for row in rows if start <= row[2] < end]
        return {
            "received": sum(start <= moment < end for moment in self._received),
            "due": len(due),
            "delay_us": _spread([received - sent for received, sent, _ in due]),
            "late_us": _spread([received - when for received, _, when in due]),
            "upstream_late_us": _spread([sent - when for _, sent, when in due]),
            "endings": dict(self.endings),
        }


def _spread(nanoseconds: list[int]) -> dict[str, float] | None:
    spread: Distribution | None = distribution([value / _MICROSECOND for value in nanoseconds])
    return None if spread is None else spread.as_dict()
