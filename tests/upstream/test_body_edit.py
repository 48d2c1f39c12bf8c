"""Changes to a body on its way out."""

from __future__ import annotations

import pytest

from proxy.upstream.body_edit import BodyEdit, edited


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ((), b"0123456789"),
        ((BodyEdit(0, 0, b"a"),), b"a0123456789"),
        ((BodyEdit(10, 10, b"a"),), b"0123456789a"),
        ((BodyEdit(2, 5, b""),), b"0156789"),
        ((BodyEdit(7, 8, b"late"), BodyEdit(1, 3, b"early")), b"0early3456late89"),
        ((BodyEdit(0, 10, b"all"),), b"all"),
        ((BodyEdit(2, 4, b"a"), BodyEdit(4, 6, b"b")), b"01ab6789"),
    ],
)
def test_edits(edits: tuple[BodyEdit, ...], expected: bytes) -> None:
    """In whatever order they are given; the body itself stays."""
    body = b"0123456789"
    assert b"".join(edited(body, edits)) == expected
    assert body == b"0123456789"


def test_no_copy_is_made() -> None:
    """The pieces are views of the body."""
    body = b"x" * 1000
    pieces = edited(body, (BodyEdit(1, 2, b"y"),))
    assert [piece.obj is body for piece in pieces] == [True, False, True]
