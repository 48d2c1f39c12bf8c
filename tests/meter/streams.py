"""Streams for the readers: made here, or read from the recordings where they are at hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proxy.meter.stream_reader import StreamReader, reader_for
from proxy.record import EventKind
from proxy.relay.sse import Framer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.record import Family


def sse(*documents: Any, named: bool = False) -> bytes:
    """Documents as a stream: a string goes out as it is, anything else as JSON."""
    events = []
    for document in documents:
        text = document if isinstance(document, str) else json.dumps(document)
        name = f"event: {document['type']}\n" if named else ""
        events.append(f"{name}data: {text}\n\n")
    return "".join(events).encode()


def play(
    family: Family, stream: bytes | Iterable[bytes], choices: int = 1
) -> tuple[StreamReader, list[EventKind]]:
    """A reader that has read the whole stream, one second an event, and what it made of each."""
    reader, framer = reader_for(family, choices), Framer()
    pieces = [stream] if isinstance(stream, bytes) else stream
    events = [event for piece in pieces for event in framer.feed(piece)]
    last = framer.unfinished()
    kinds = []
    for second, event in enumerate([*events, *([last] if last else [])]):
        if event.tail is not None:
            head = event.data or b""
            kinds.append(reader.oversized(event.name, head, event.tail, float(second)))
        elif reader.token(event.raw, float(second)):
            kinds.append(EventKind.DATA)
        elif event.data is not None:
            kinds.append(reader.event(event.name, event.data, float(second)))
        elif event.stray:
            kinds.append(reader.stray(event.stray, float(second)))
    return reader, kinds
