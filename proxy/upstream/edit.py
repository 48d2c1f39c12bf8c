"""Changes to a body on its way out, without a copy of it.

A body may be as large as a request may be, and a copy for each upstream that has a name of its own
for the model would be memory that nobody has counted.
"""

from __future__ import annotations

from typing import NamedTuple


class Edit(NamedTuple):
    """Bytes `start` to `end` of a body give way to others."""

    start: int
    end: int
    new: bytes


def edited(body: bytes, edits: tuple[Edit, ...]) -> tuple[memoryview, ...]:
    """The pieces of the body that goes out; the edits must not overlap."""
    if not edits:
        return (memoryview(body),)
    whole = memoryview(body)
    pieces: list[memoryview] = []
    at = 0
    for edit in sorted(edits):
        pieces += (whole[at : edit.start], memoryview(edit.new))
        at = edit.end
    return (*pieces, whole[at:])
