"""A stream of any family: whatever comes, however cut, it is passed on, judged and ended alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from unittest.mock import patch

from proxy.errors import UpstreamCut
from proxy.meter.stream_reader import StreamReader, reader_for
from proxy.meter.tally import Tally
from proxy.record import EndedBy, EventKind, Family
from proxy.relay import event_stream, sse
from proxy.relay.event_stream import EventStream
from proxy.relay.sse import Framer
from tests.fuzz import answers
from tests.fuzz.cuts import Target, given, pieces
from tests.fuzz.sse import MARK, SMALL, small_bounds

CUT = UpstreamCut("The upstream closed the stream without its end marker.")
FAMILIES = list(Family)
HIDES, BOUNDED = 0x40, 0x80
_NAMES = {Family.MESSAGES: b"error", Family.UNKNOWN: b"error", Family.RESPONSES: b"response.failed"}

_SPOILT = re.compile(rb"(?:\A|[\r\n])data: \(cut\)\nevent: (?:ping|incomplete)\n\n\Z")


class Case(NamedTuple):
    """What a stream is made with."""

    family: Family
    hides: bool
    bounded: bool
    """Whether so little is held that a short input goes over it."""


class Verdict(NamedTuple):
    """What must be the same for every cut."""

    ended_by: EndedBy
    family: Family
    tally: Tally


def check(data: bytes) -> None:
    """The family, what is hidden and how much is held are the choice."""
    choice, sizes, text = given(data)
    family = FAMILIES[(choice & ~HIDES & ~BOUNDED) % len(FAMILIES)]
    case = Case(family, bool(choice & HIDES), bool(choice & BOUNDED))
    verdicts = [relayed(case, cut) for cut in ([text], pieces(text, sizes, MARK))]
    # Whether an event is too long to hold is a matter of how it comes.
    assert case.bounded or verdicts[0] == verdicts[1]


def relayed(case: Case, cut: list[bytes]) -> Verdict:
    """Relay the pieces, hold the stream to its promises wherever it may end, and check it."""
    text = b"".join(cut)
    reader = reader_for(case.family)
    relay = EventStream(case.family, reader, hides_usage=case.hides)
    with _bounds(small=case.bounded):
        out = b"".join(relay.feed(piece, 1.0) for piece in cut)
        never_looks_finished(text, out, relay.cut(CUT, "req-1"), _named(case, reader))
        ended_by, owed = relay.close(1.0)
    if ended_by is EndedBy.UPSTREAM_CUT:
        assert owed == b""
        never_looks_finished(text, out, relay.cut(CUT, "req-1"), _named(case, reader))
        owed = text[len(text) - relay._withheld :]
    if not case.hides:
        assert out + owed == text
    elif b"\r\r\n" not in text:  # Half a CRLF may be withheld with the next event.
        _passes_the_rest(case, text, out + owed)
    return Verdict(ended_by, reader.family, reader.tally)


def never_looks_finished(text: bytes, out: bytes, broken: bytes, name: bytes) -> None:
    """What was sent and then cut ends in one error that parses, and half an event in none."""
    # What comes after a lone CR shows that it was no half of a CRLF.
    whole = len(Framer().feed(out + b":"))
    framer = Framer()
    *spoilt, error = framer.feed(out + broken)[whole:]
    assert not framer.partial
    assert error.name == name
    assert json.loads(error.data or b"")["error"]
    assert len(spoilt) <= 1
    for event in spoilt:
        assert _SPOILT.search(event.raw)
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    (out + broken).decode()


def _named(case: Case, reader: StreamReader) -> bytes:
    family = reader.family if case.family is Family.UNKNOWN else case.family
    return _NAMES.get(family, b"")


def _passes_the_rest(case: Case, text: bytes, out: bytes) -> None:
    """Nothing is missing but whole chunks of usage, which may have been begun and so be there."""
    framer, reader = Framer(), reader_for(case.family)
    places = {0}
    """How much of `out` may have been accounted for."""
    for event in framer.feed(text):
        may, must = _hideable(case, reader, event)
        passed = {at + len(event.raw) for at in places if out.startswith(event.raw, at)}
        places = (set() if must else passed) | (places if may else set())
    assert any(out[at:] == framer.partial for at in places)


def _hideable(case: Case, reader: StreamReader, event: sse.ServerSentEvent) -> tuple[bool, bool]:
    """Whether an event may be kept from the client, and whether it must be."""
    finishing, kind = reader.finishing, EventKind.PING
    if event.data is not None:
        kind = reader.event(event.name, event.data, 1.0)
    elif event.stray:
        kind = reader.stray(event.stray, 1.0)
    if case.bounded:  # Readers may understand less of such a stream, and so find other families.
        return event.data is not None, False
    return kind is EventKind.USAGE, kind is EventKind.USAGE and finishing


@contextmanager
def _bounds(*, small: bool) -> Iterator[None]:
    if not small:
        yield
        return
    with small_bounds(), patch.object(event_stream, "_WITHHELD_BYTES", SMALL["TAIL_BYTES"]):
        yield


TARGET = Target(
    check,
    answers.TEXTS,
    tuple(
        choice + flag
        for choice in range(len(FAMILIES))
        for flag in (0, HIDES, BOUNDED, HIDES | BOUNDED)
    ),
    answers.WORDS,
)
