"""Bodies that are not looked into."""

from __future__ import annotations

from proxy.record import EndedBy
from proxy.relay.opaque_body import HEAD_BYTES, KEPT_BYTES, TAIL_BYTES, OpaqueBody


def test_bytes_pass_unchanged() -> None:
    """What comes in goes out, and a clean end is complete."""
    body = OpaqueBody(keep=False)
    assert body.feed(b"\x00\xff", 1.0) == b"\x00\xff"
    assert body.close(2.0) == (EndedBy.COMPLETE, b"")
    assert body.kept is None


def test_a_small_answer_is_kept_for_the_meter() -> None:
    """All of it, in order."""
    body = OpaqueBody(keep=True)
    body.feed(b'{"a":', 1.0)
    body.feed(b"1}", 1.0)
    assert body.kept == b'{"a":1}'


def test_a_large_answer_is_not_kept() -> None:
    """Memory is bounded: what grows too large is let go, and still passes."""
    body = OpaqueBody(keep=True)
    for _ in range(3):
        assert len(body.feed(b"x" * (KEPT_BYTES // 2), 1.0)) == KEPT_BYTES // 2
    assert body.kept is None


def test_no_place_for_words() -> None:
    """No ping may stand inside a body of unknown form."""
    assert not OpaqueBody(keep=False).between_events


def test_the_ends_of_an_answer_are_kept_for_the_meter() -> None:
    """However large it is, and however it is cut."""
    body = OpaqueBody(keep=False, ends=True)
    body.feed(b"begins", 1.0)
    for _ in range(50):
        body.feed(b"x" * 1000, 1.0)
    body.feed(b"the end", 1.0)
    assert body.kept is None
    assert body.ends is not None
    assert len(body.ends) == HEAD_BYTES + TAIL_BYTES
    assert (body.ends[:6], body.ends[-8:]) == (b"begins", b"xthe end")


def test_the_ends_of_a_small_answer() -> None:
    """They are all of it, once."""
    body = OpaqueBody(keep=False, ends=True)
    body.feed(b'{"a":', 1.0)
    body.feed(b"1}", 1.0)
    assert body.ends == b'{"a":1}'
