"""The form of a stream's log in the store: its keys, and its entries as values.

The log is a Redis stream. An entry holds a batch of events and has the number of its last event as
id, so that `XREAD` from a cursor finds the batch with the next event, a batch that is sent twice
is refused, and the end needs no message of its own: it is an entry, too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.state.store import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

START = "0-1"
"""The first entry of every log, before any event."""
_END_PART = 2
LOGS_AT_ONCE = 64
"""A script of so many logs takes the store less than a millisecond."""


class EntryId(NamedTuple):
    """An entry's id: the number of its last event, and what the entry is (0 events, 2 the end)."""

    event: int
    part: int = 0

    def __str__(self) -> str:
        """As the store writes it."""
        return f"{self.event}-{self.part}"


@dataclass(frozen=True, slots=True)
class End:
    """How a stream ended."""

    ended_by: str
    error: str = ""
    """The code of the error that ended it; empty if none did."""
    whole: bool = False
    """Whether its last byte may be followed by a clean end."""
    figures: dict[str, Any] = field(default_factory=dict)
    events: int = 0
    rest: int = 0
    """How many bytes of a further event came that never became whole."""

    def encoded(self) -> str:
        """As it stands in the log."""
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: bytes | str) -> End:
        """What `encoded` made."""
        return cls(**json.loads(text))


class Entry(NamedTuple):
    """One entry: events, or the end with whatever bytes came after the last event."""

    id: EntryId
    lengths: tuple[int, ...] = ()
    data: bytes = b""
    end: End | None = None
    tail: bytes = b""

    @property
    def first(self) -> int:
        """The number of its first event."""
        return self.id.event - len(self.lengths) + 1


def end_id(events: int) -> EntryId:
    """The id of the end of a log with so many events."""
    return EntryId(events, _END_PART)


def id_of(raw: bytes) -> EntryId:
    """Read an entry's id."""
    event, _, part = raw.decode().partition("-")
    return EntryId(int(event), int(part))


def entry_of(raw: Sequence[Any]) -> Entry:
    """Read an entry as the store answers it: its id, then its fields and values in turn."""
    names, values = raw[1][::2], raw[1][1::2]
    fields = dict(zip(names, values, strict=True))
    lengths = tuple(map(int, fields[b"l"].split(b","))) if b"l" in fields else ()
    end = End.decoded(fields[b"end"]) if b"end" in fields else None
    return Entry(id_of(raw[0]), lengths, fields.get(b"d", b""), end, fields.get(b"tail", b""))


def pairs_of(raw: Sequence[bytes]) -> dict[str, str]:
    """A hash as the store answers it: its names and values in turn."""
    flat = [word.decode("utf-8", "replace") for word in raw]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def events_of(entry: Entry) -> list[bytes]:
    """The events of an entry, one by one."""
    events, at = [], 0
    for length in entry.lengths:
        events.append(entry.data[at : at + length])
        at += length
    return events


def joined(lengths: Sequence[int]) -> str:
    """Lengths as an entry has them."""
    return ",".join(map(str, lengths))


def keys_of(stream_id: str) -> tuple[str, str, str]:
    """Header, events and readers of a stream's log."""
    tag = f"s:{stream_id}"
    return key_of(tag, "h"), key_of(tag, "e"), key_of(tag, "r")


def heartbeat_of(worker: str) -> str:
    """Where a worker shows that it is alive."""
    return key_of(f"w:{worker}", "alive")


def inbox_of(worker: str) -> str:
    """What wakes a worker's blocking read."""
    return key_of(f"w:{worker}", "wake")
