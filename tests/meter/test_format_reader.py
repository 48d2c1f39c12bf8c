from __future__ import annotations

import pytest

from proxy.meter.families.chat import Chat
from proxy.meter.families.messages import Messages
from proxy.meter.format_reader import Choices
from proxy.meter.tally import Tally
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


def test_all_have_ended_when_each_that_began_has() -> None:
    """In whatever order."""
    choices = Choices()
    assert not choices.all_ended
    choices.begin(0)
    choices.begin(1)
    choices.end(1)
    assert not choices.all_ended
    choices.end(0)
    assert choices.all_ended


def test_those_asked_for_are_waited_for() -> None:
    """Some servers make one after the other."""
    choices = Choices(asked=2)
    choices.begin(0)
    choices.end(0)
    assert not choices.all_ended
    choices.begin(1)
    choices.end(1)
    assert choices.all_ended


def test_an_end_without_a_beginning_counts() -> None:
    """A choice may show itself with its finish reason only."""
    choices = Choices()
    choices.end(0)
    assert choices.all_ended


def test_a_choice_that_begins_late_is_waited_for() -> None:
    """Though as many have ended as were asked for."""
    choices = Choices()
    choices.end(0)
    choices.begin(1)
    assert not choices.all_ended


def test_absurd_indexes_take_no_memory() -> None:
    """Neither negative nor huge ones, nor none at all."""
    choices = Choices()
    for index in (None, -5, 10**12, *range(100_000)):
        choices.begin(index)
        choices.end(index)
    assert choices.all_ended
    assert choices._begun.bit_length() == 128
