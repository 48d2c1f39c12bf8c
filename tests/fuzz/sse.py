"""Framing: any bytes, cut anywhere, give the same events, and none of them is lost."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, ExitStack
from unittest.mock import patch

from proxy.relay import sse
from proxy.relay.sse import Framer, ServerSentEvent
from tests.fuzz.cuts import Target, given, pieces

MARK = re.compile(rb"\n\n")
SMALL = {"HELD_BYTES": 48, "HEAD_BYTES": 16, "TAIL_BYTES": 24}
_SMALL = 0x80


def check(data: bytes) -> None:
    """Held in full, and with bounds so small that events are let go of."""
    choice, sizes, text = given(data)
    cut = pieces(text, sizes, MARK)
    same_events(cut)
    if choice & _SMALL:
        with small_bounds():
            bounded_events(cut)


def small_bounds() -> AbstractContextManager[object]:
    """Hold so little that a short input goes over it, as a long event does over what is held."""
    stack = ExitStack()
    for name, size in SMALL.items():
        stack.enter_context(patch.object(sse, name, size))
    return stack


def same_events(cut: list[bytes]) -> None:
    """The pieces give the events of the whole, byte for byte, by either way of asking."""
    text = b"".join(cut)
    framer, whole = Framer(), Framer()
    events = [event for piece in cut for event in _taken(framer, piece)]
    assert b"".join(event.raw for event in events) + bytes(framer.partial) == text
    assert _told(events) == _told(whole.feed(text))
    assert _told_unfinished(framer) == _told_unfinished(whole)
    assert framer.between_events == whole.between_events
    last = framer.unfinished()
    if last is not None and _core(last):
        ended = [event for event in Framer().feed(text + b"\n\n") if _core(event)][-1]
        assert (last.name, last.data) == (ended.name, ended.data)
        assert last.stray.rstrip(b"\n") == ended.stray.rstrip(b"\n")


def bounded_events(cut: list[bytes]) -> None:
    """Memory stays bounded; of a long event the head, the tail and the end are right."""
    with patch.object(sse, "HELD_BYTES", 1 << 20):
        true = [event for event in Framer().feed(b"".join(cut)) if _core(event)]
    framer = Framer()
    events: list[ServerSentEvent] = []
    for piece in cut:
        events += _taken(framer, piece)
        assert len(framer.partial) <= sse.HELD_BYTES
        assert len(framer._head or b"") <= sse.HEAD_BYTES
        assert len(framer._tail) <= sse.TAIL_BYTES
    events = [event for event in events if event.tail is not None or _core(event)]
    assert len(events) == len(true)
    for event, held in zip(events, true, strict=True):
        if event.tail is None:
            assert _told([event]) == _told([held])
        else:
            assert held.raw.rstrip(b"\r\n").endswith(event.tail.rstrip(b"\r\n"))
            assert (held.data or b"").startswith(event.data or b"")


def _taken(framer: Framer, piece: bytes) -> list[ServerSentEvent]:
    """The events that end in the piece, asked for as the relay asks."""
    single = framer.single(piece)
    events = framer.feed(piece)
    assert single is None or events == [ServerSentEvent(piece, b"", single)]
    return events


def _core(event: ServerSentEvent) -> bytes:
    """The event without the line ends around it: half a CRLF may go to either neighbour."""
    return event.raw.strip(b"\r\n")


def _told(events: list[ServerSentEvent]) -> list[tuple[object, ...]]:
    return [(_core(e), e.name, e.data, e.stray, e.tail) for e in events if _core(e)]


def _told_unfinished(framer: Framer) -> list[tuple[object, ...]]:
    last = framer.unfinished()
    return [] if last is None else _told([last])


TARGET = Target(
    check,
    (
        b"",
        b"data: a\n\ndata: b\n\n",
        b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n",
        b"event: x\r\ndata: 1\r\ndata:2\r\n\r\n: ping\r\n\r\ndata: 3\r\n\r",
        b"data: a\r\r\ndata: b\r\rdata: c\n\r\n",
        b'data: a\n\n{\n "error": {"code": 429}\n}\n\n',
        b"event: big\ndata: {" + b"x" * 120 + b"}\n\ndata: next\n\n: c\n",
        b"\xef\xbb\xbfdata: [DONE]",
        b"data: a\n\n\xef\xbb\xbfdata: " + b"x" * 120 + b"\n\n",
        "data: h€l👍o\n\nid: 7\nretry: 1\ndata\n\n".encode(),
    ),
    (0, _SMALL),
    (b"data: ", b"data:", b"event: ", b"\r\n\r\n", b"\n\n", b"\r\r", b"\n\r", b"\xef\xbb\xbf"),
)
