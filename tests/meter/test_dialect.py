from __future__ import annotations

import pytest

from proxy.exchange import Kind
from proxy.meter.chat import Chat
from proxy.meter.messages import Messages
from proxy.meter.tokens import Tally


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        (b"", b"", Kind.PING),
        (b"", b"  ", Kind.PING),
        (b"ping", b"now", Kind.PING),
        (b"heartbeat", b"{", Kind.PING),
        (b"", b"[DONE]", Kind.END),
        (b"", b" [DONE]\n", Kind.END),
        (b"error", b"boom", Kind.ERROR),
        (b"", b"[DONE", None),
        (b"", b"{", None),
    ],
)
def test_the_marks_all_families_share(name: bytes, data: bytes, kind: Kind | None) -> None:
    """They need no JSON."""
    assert Chat(Tally()).mark(name, data) is kind


def test_done_is_no_end_where_the_family_has_its_own() -> None:
    """Unless the family's own end has been seen."""
    dialect = Messages(Tally())
    assert dialect.mark(b"", b"[DONE]") is Kind.DATA
    dialect.tally.finishing = True
    assert dialect.mark(b"", b"[DONE]") is Kind.END


def test_an_object_of_nobody_is_a_ping_or_an_error_only_if_it_says_so() -> None:
    """By its type, its object or the event's name."""
    dialect = Chat(Tally())
    assert dialect.odd(b"", b'{"type": "ping"}') is Kind.PING
    assert dialect.odd(b"", b'{"object": "error", "type": "Bad"}') is Kind.ERROR
    assert dialect.odd(b"error", b'{"message": "x"}') is Kind.ERROR
    assert dialect.odd(b"", b'{"progress": 0.5}') is Kind.DATA
    assert dialect.tally.malformed == 0
