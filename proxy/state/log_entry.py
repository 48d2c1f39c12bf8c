"""The format of a stream's log in the store: its keys, entries and ids.

The log is a Redis stream. An entry holds a batch of events, and its id is the number of its last
event. Therefore `XREAD` from a cursor finds the batch that holds the next event, and the store
refuses a batch that is sent twice. The end of the stream is an entry, too.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from proxy.state.store import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_END_PART = 2
_T = TypeVar("_T")
LOGS_AT_ONCE = 64
"""Logs per script call; at this size a call takes the store less than a millisecond."""


class EntryId(NamedTuple):
    """An entry's id: the number of its last event, and the entry's kind (0 events, 2 end)."""

    event: int
    part: int = 0

    def __str__(self) -> str:
        """Return the id as the store writes it."""
        return f"{self.event}-{self.part}"


@dataclass(frozen=True, slots=True)
class End:
    """How a stream ended."""

    ended_by: str
    error: str = ""
    """The code of the error that ended it; empty if none did."""
    whole: bool = False
    """Whether the stream ended on an event boundary, so that the response may end cleanly."""
    figures: dict[str, Any] = field(default_factory=dict)
    events: int = 0
    rest: int = 0
    """Bytes of an incomplete event after the last whole one."""

    def encoded(self) -> str:
        """Return the JSON that is stored in the log."""
        return json.dumps(asdict(self))

    @classmethod
    def decoded(cls, text: bytes | str) -> End:
        """Parse what `encoded` returned."""
        return cls(**json.loads(text))


class Entry(NamedTuple):
    """One entry: a batch of events, or the end with the bytes after the last event."""

    id: EntryId
    lengths: tuple[int, ...] = ()
    data: bytes = b""
    end: End | None = None
    tail: bytes = b""

    @property
    def first(self) -> int:
        """The number of the entry's first event."""
        return self.id.event - len(self.lengths) + 1


def end_id(events: int) -> EntryId:
    """Return the id of the end entry of a log with `events` events."""
    return EntryId(events, _END_PART)


def id_of(raw: bytes) -> EntryId:
    """Parse an entry's id."""
    event, _, part = raw.decode().partition("-")
    return EntryId(int(event), int(part))


def entry_of(raw: Sequence[Any]) -> Entry:
    """Parse an entry as the store returns it: its id, then fields and values alternating."""
    names, values = raw[1][::2], raw[1][1::2]
    fields = dict(zip(names, values, strict=True))
    lengths = tuple(map(int, fields[b"l"].split(b","))) if b"l" in fields else ()
    end = End.decoded(fields[b"end"]) if b"end" in fields else None
    return Entry(id_of(raw[0]), lengths, fields.get(b"d", b""), end, fields.get(b"tail", b""))


def pairs_of(raw: Sequence[bytes]) -> dict[str, str]:
    """Parse a hash as the store returns it: names and values alternating."""
    flat = [item.decode("utf-8", "replace") for item in raw]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def events_of(entry: Entry) -> list[bytes]:
    """Split an entry's data into its events."""
    events, offset = [], 0
    for length in entry.lengths:
        events.append(entry.data[offset : offset + length])
        offset += length
    return events


def joined(lengths: Sequence[int]) -> str:
    """Encode event lengths for an entry."""
    return ",".join(map(str, lengths))


def keys_of(stream_id: str) -> tuple[str, str, str]:
    """Return the keys of a log's header, events and readers."""
    tag = f"s:{stream_id}"
    return key_of(tag, "h"), key_of(tag, "e"), key_of(tag, "r")


def heartbeat_of(worker: str) -> str:
    """Return the key of a worker's heartbeat."""
    return key_of(f"w:{worker}", "alive")


def inbox_of(worker: str) -> str:
    """Return the key of the Redis stream that interrupts a worker's blocking read."""
    return key_of(f"w:{worker}", "wake")


def script_groups(logs: Sequence[_T], *, one_node: bool) -> list[Sequence[_T]]:
    """Group logs that one script call may touch; in a cluster each log is on its own node."""
    size = LOGS_AT_ONCE if one_node else 1
    return [logs[start : start + size] for start in range(0, len(logs), size)]
