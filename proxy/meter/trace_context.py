"""The W3C trace context: passed on or begun. It is text, and costs nothing."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_SHAPE = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Context(NamedTuple):
    """One `traceparent`, taken apart; ids and flags in lower-case hex."""

    trace: str
    parent: str
    flags: str

    @classmethod
    def of(cls, header: str | None) -> Context | None:
        """The context a header holds; None if it is absent or invalid (W3C, section 3.2.2).

        Of a later version only what this one knows is taken.
        """
        match = _SHAPE.fullmatch((header or "").strip())
        if match is None or (match.group().startswith("00-") and match[4]):
            return None
        trace, parent, flags = match[1], match[2], match[3]
        if not trace.strip("0") or not parent.strip("0"):
            return None
        return cls(trace, parent, flags)

    @classmethod
    def begun(cls, *, sampled: bool = True) -> Context:
        """A new trace."""
        return cls(_new_id(16), _new_id(8), "01" if sampled else "00")

    def child(self) -> Context:
        """The same trace under a span of our own."""
        return self._replace(parent=_new_id(8))

    @property
    def header(self) -> str:
        """As the value of `traceparent`."""
        return f"00-{self.trace}-{self.parent}-{self.flags}"


def onward(incoming: str | None) -> str:
    """The `traceparent` to send upstream where no span is made here.

    A valid one is passed on as it is: a parent id of our own would name a span nobody has seen.
    """
    return (Context.of(incoming) or Context.begun()).header


def _new_id(size: int) -> str:
    while not (made := os.urandom(size).hex()).strip("0"):
        continue
    return made
