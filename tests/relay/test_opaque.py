"""Bodies that are not looked into."""

from __future__ import annotations

from proxy.record import EndedBy
from proxy.relay.opaque import KEPT_BYTES, Opaque


def test_bytes_pass_unchanged() -> None:
    """What comes in goes out, and a clean end is complete."""
    body = Opaque(keep=False)
    assert body.feed(b"\x00\xff", 1.0) == b"\x00\xff"
    assert body.close(2.0) == (EndedBy.COMPLETE, b"")
    assert body.kept is None


def test_a_small_answer_is_kept_for_the_meter() -> None:
    """All of it, in order."""
    body = Opaque(keep=True)
    body.feed(b'{"a":', 1.0)
    body.feed(b"1}", 1.0)
    assert body.kept == b'{"a":1}'


def test_a_large_answer_is_not_kept() -> None:
    """Memory is bounded: what grows too large is let go, and still passes."""
    body = Opaque(keep=True)
    for _ in range(3):
        assert len(body.feed(b"x" * (KEPT_BYTES // 2), 1.0)) == KEPT_BYTES // 2
    assert body.kept is None


def test_no_place_for_words() -> None:
    """No ping may stand inside a body of unknown form."""
    assert not Opaque(keep=False).between_events
