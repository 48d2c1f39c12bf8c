"""The stamp that every token carries from the upstream to the load generator.

It stands inside the token's text, because that is the one field that every gateway passes on,
even those that take the JSON apart and write it anew.
"""

from __future__ import annotations

import re

WIDTH = 17
"""Digits of a monotonic time in nanoseconds: enough for three years of uptime."""

LENGTH = 2 * WIDTH + 3

_STAMP = re.compile(rb"@(\d{17}),(\d{17});")


def stamp(sent: int, due: int) -> bytes:
    """The text of one token: when it was sent and when it should have been, in nanoseconds."""
    return b"@%017d,%017d;" % (sent, due)


class StampReader:
    """Finds the stamps in a stream of bytes, however it is cut."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """The stamps that became complete with these bytes, as (sent, due)."""
        if self._rest:
            data = self._rest + data
        stamps = [(int(sent), int(due)) for sent, due in _STAMP.findall(data)]
        begun = data.rfind(b"@", max(0, len(data) - LENGTH + 1))
        self._rest = data[begun:] if begun >= 0 else b""
        return stamps
