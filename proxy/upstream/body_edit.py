"""Edits an outgoing body without copying it.

A copy of a large body for each upstream that renames the model would exceed the counted memory.
"""

from __future__ import annotations

from typing import NamedTuple


class BodyEdit(NamedTuple):
    """A replacement of the bytes `start` to `end` of a body."""

    start: int
    end: int
    new: bytes


def edited(body: bytes, edits: tuple[BodyEdit, ...]) -> tuple[memoryview, ...]:
    """Return the pieces of the edited body; the edits must not overlap."""
    if not edits:
        return (memoryview(body),)
    whole = memoryview(body)
    pieces: list[memoryview] = []
    position = 0
    for edit in sorted(edits):
        pieces += (whole[position : edit.start], memoryview(edit.new))
        position = edit.end
    return (*pieces, whole[position:])
