"""The W3C trace context: parses, continues or starts one."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_SHAPE = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Context(NamedTuple):
    """A parsed `traceparent`; ids and flags are lower-case hex."""

    trace: str
    parent: str
    flags: str

    @classmethod
    def of(cls, header: str | None) -> Context | None:
        """Parse a header; None if it is absent or invalid (W3C, section 3.2.2).

        Unknown fields of a later version are ignored.
        """
        match = _SHAPE.fullmatch((header or "").strip())
        if match is None or (match.group().startswith("00-") and match[4]):
            return None
        trace, parent, flags = match[1], match[2], match[3]
        if not trace.strip("0") or not parent.strip("0"):
            return None
        return cls(trace, parent, flags)

    @classmethod
    def new(cls, *, sampled: bool = True) -> Context:
        """Start a trace."""
        return cls(_new_id(16), _new_id(8), "01" if sampled else "00")

    def child(self) -> Context:
        """Return the same trace with a new span id."""
        return self._replace(parent=_new_id(8))

    @property
    def header(self) -> str:
        """The value of `traceparent`."""
        return f"00-{self.trace}-{self.parent}-{self.flags}"


def onward(incoming: str | None) -> str:
    """Return the `traceparent` to send upstream if no span is exported.

    A valid one is passed on unchanged: a new parent id would name a span that does not exist.
    """
    return (Context.of(incoming) or Context.new()).header


def _new_id(size: int) -> str:
    while not (new_id := os.urandom(size).hex()).strip("0"):
        continue
    return new_id
