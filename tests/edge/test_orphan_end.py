"""The end of a log whose producer cannot say it."""

from __future__ import annotations

import time

import pytest

from proxy.edge.orphan_end import family_of, orphan_end, terminal_event_after
from proxy.edge.stream_errors import LogLost
from proxy.record import Family
from proxy.state.log_entry import Entry, EntryId

LAST = Entry(EntryId(4), (1,), b"x")


@pytest.mark.parametrize(("lives", "code"), [(False, "producer_lost"), (True, "log_lost")])
@pytest.mark.parametrize("family", list(Family))
def test_every_family_has_an_end(family: Family, lives: bool, code: str) -> None:
    """One more event, in its own form where it has one, that says why; never a clean end."""
    terminal, end = orphan_end({"family": family, "created": "1"}, LAST, lives)
    assert (end.error, end.events, end.whole) == (code, 5, False)
    assert terminal.endswith(b"\n\n")
    assert code.encode() in terminal or family in {Family.GEMINI, Family.RESPONSES}


def test_the_number_and_the_id_go_on_from_what_was_seen() -> None:
    """A client of the responses API orders by number, and knows its response by id."""
    seen = b'data: {"response":{"id":"resp_7"},"sequence_number":8}\n\n{"sequence_number":9}'
    terminal = terminal_event_after({"family": "responses"}, LogLost("Lost."), seen)
    assert b'"sequence_number": 10' in terminal or b'"sequence_number":10' in terminal
    assert b"resp_7" in terminal


def test_the_id_of_the_header_goes_before_what_a_text_says() -> None:
    """A model may write anything."""
    seen = b'{"response":{"id":"resp_evil"}}'
    header = {"family": "responses", "response_id": "resp_true"}
    terminal = terminal_event_after(header, LogLost("Lost."), seen)
    assert b"resp_true" in terminal
    assert b"resp_evil" not in terminal


@pytest.mark.parametrize(
    ("header", "family"),
    [({}, Family.UNKNOWN), ({"family": "chat"}, Family.CHAT), ({"family": "x"}, Family.UNKNOWN)],
)
def test_a_header_of_another_version(header: dict[str, str], family: Family) -> None:
    """What is missing or new is no defect."""
    assert family_of(header) is family


def test_how_old_it_is() -> None:
    """By the header, if that can be read; clocks that differ never make it negative."""
    ages = {str(time.time() - 100): 100.0, "soon": 0.0, "": 0.0, "9e18": 0.0}
    for created, least in ages.items():
        _, end = orphan_end({"created": created}, LAST, False)
        assert end.figures["elapsed_seconds"] >= least
