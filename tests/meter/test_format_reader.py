from __future__ import annotations

import pytest

from proxy.meter.chat import Chat
from proxy.meter.messages import Messages
from proxy.meter.tokens import Tally
from proxy.record import EventKind


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        (b"", b"", EventKind.PING),
        (b"", b"  ", EventKind.PING),
        (b"ping", b"now", EventKind.PING),
        (b"heartbeat", b"{", EventKind.PING),
        (b"", b"[DONE]", EventKind.END),
        (b"", b" [DONE]\n", EventKind.END),
        (b"error", b"boom", EventKind.ERROR),
        (b"", b"[DONE", None),
        (b"", b"{", None),
    ],
)
def test_the_marks_all_families_share(name: bytes, data: bytes, kind: EventKind | None) -> None:
    """They need no JSON."""
    assert Chat(Tally()).mark(name, data) is kind


def test_done_is_no_end_where_the_family_has_its_own() -> None:
    """Unless the family's own end has been seen."""
    format_reader = Messages(Tally())
    assert format_reader.mark(b"", b"[DONE]") is EventKind.DATA
    format_reader.tally.finishing = True
    assert format_reader.mark(b"", b"[DONE]") is EventKind.END


def test_an_object_of_nobody_is_a_ping_or_an_error_only_if_it_says_so() -> None:
    """By its type, its object or the event's name."""
    format_reader = Chat(Tally())
    assert format_reader.odd(b"", b'{"type": "ping"}') is EventKind.PING
    assert format_reader.odd(b"", b'{"object": "error", "type": "Bad"}') is EventKind.ERROR
    assert format_reader.odd(b"error", b'{"message": "x"}') is EventKind.ERROR
    assert format_reader.odd(b"", b'{"progress": 0.5}') is EventKind.DATA
    assert format_reader.tally.malformed == 0
