"""One reader: from its cursor on, every event once and in order, from the store and then live."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End, Entry, EntryId, end_id, joined
from proxy.state.log_reader import LogGone, LogReader, LogTrimmed
from tests.state.scripted_store import ScriptedStore, as_store

END = End("complete")


def batch(last: int, *events: bytes) -> Entry:
    """Events of which the last has this number."""
    return Entry(EntryId(last), tuple(map(len, events)), b"".join(events))


def raw(entry: Entry) -> list[Any]:
    """As the store answers it."""
    if entry.end is not None:
        fields = [b"end", entry.end.encoded().encode(), b"tail", entry.tail]
    else:
        fields = [b"l", joined(entry.lengths).encode(), b"d", entry.data]
    return [str(entry.id).encode(), fields]


@dataclass
class Followers:
    """Hands nothing out by itself."""

    position: EntryId = field(default_factory=lambda: EntryId(0))
    joined: list[LogReader] = field(default_factory=list)

    def join(self, reader: LogReader) -> Followers:
        self.joined.append(reader)
        return self

    def leave(self, reader: LogReader) -> None:
        self.joined.remove(reader)


def reader_of(
    store: ScriptedStore, cursor: int = 0, followers: Followers | None = None
) -> LogReader:
    return LogReader(as_store(store), followers or Followers(), "0" * 32, cursor, "lease")


@pytest.mark.parametrize(
    ("cursor", "first", "events"),
    [(0, 1, [b"a", b"b", b"c"]), (1, 2, [b"b", b"c"]), (2, 3, [b"c"])],
)
async def test_it_begins_after_its_cursor(cursor: int, first: int, events: list[bytes]) -> None:
    """Also where that lies in the middle of a batch."""
    reader = reader_of(ScriptedStore([raw(batch(3, b"a", b"b", b"c"))]), cursor)
    received = await reader.next(1)
    assert received is not None
    assert (received.first, list(received.events), reader.seen) == (first, events, 3)


async def test_the_end_comes_last_and_with_its_tail() -> None:
    """Its number is the one of the event that will not come."""
    end = Entry(end_id(1), end=END, tail=b"da")
    reader = reader_of(ScriptedStore([raw(batch(1, b"a")), raw(end)]))
    first, last = await reader.next(1), await reader.next(1)
    assert first is not None
    assert first.end is None
    assert last is not None
    assert (last.first, last.events, last.end, last.tail) == (2, (), END, b"da")


async def test_events_that_were_dropped_are_said_to_be() -> None:
    """A gap is never passed over in silence."""
    reader = reader_of(ScriptedStore([raw(batch(5, b"e"))]), cursor=3)
    with pytest.raises(LogTrimmed):
        await reader.next(1)


async def test_once_it_has_caught_up_it_is_handed_what_comes() -> None:
    """Without asking the store again; nothing in time is no error."""
    followers, store = Followers(), ScriptedStore([], [])
    reader = reader_of(store, followers=followers)
    assert await reader.next(0.0) is None
    assert followers.joined == [reader]
    reader.offer(batch(1, b"a"), EntryId(0))
    received = await reader.next(1)
    assert received is not None
    assert list(received.events) == [b"a"]
    reader.close()
    assert followers.joined == []


async def test_it_waits_until_something_comes() -> None:
    """It is woken by what is handed to it, and by bad news; it would wait for long otherwise."""
    reader = reader_of(ScriptedStore([]))
    for tell in (
        partial(reader.offer, batch(1, b"a"), EntryId(0)),
        partial(reader.fail, LogGone()),
    ):
        waits = asyncio.create_task(reader.next(3600))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waits.done()
        tell()
        await asyncio.wait([waits], timeout=20)
        assert waits.done()
    assert isinstance(waits.exception(), LogGone)


async def test_what_is_offered_twice_is_had_once() -> None:
    """By the store and live, or live and live."""
    reader = reader_of(ScriptedStore([raw(batch(1, b"a"))]))
    await reader.next(1)
    reader.offer(batch(1, b"a"), EntryId(0))
    reader.offer(batch(2, b"b"), EntryId(1))
    reader.offer(batch(2, b"b"), EntryId(1))
    received = await reader.next(1)
    assert received is not None
    assert (received.first, list(received.events)) == (2, [b"b"])
    assert not reader._queue


async def test_what_it_cannot_be_handed_in_order_it_reads_later() -> None:
    """An entry after one that it has not had is left in the store."""
    store = ScriptedStore([], [raw(batch(1, b"a")), raw(batch(2, b"b"))])
    followers = Followers()
    reader = reader_of(store, followers=followers)
    reader.offer(batch(2, b"b"), EntryId(1))
    followers.position = EntryId(2)
    batches = [await reader.next(1), await reader.next(1)]
    assert [list(events.events) for events in batches if events] == [[b"a"], [b"b"]]


async def test_a_slow_reader_is_not_queued_for_without_bound() -> None:
    """Beyond the bound it reads from the store again, at its own pace."""
    reader = reader_of(ScriptedStore())
    for number in range(1, 10):
        reader.offer(batch(number, b"x" * 60_000), EntryId(number - 1))
    assert len(reader._queue) == 3


async def test_a_log_that_is_gone_is_told_after_what_came() -> None:
    """What has been handed out is not lost by it."""
    reader = reader_of(ScriptedStore())
    reader.offer(batch(1, b"a"), EntryId(0))
    reader.fail(LogGone())
    assert await reader.next(1) is not None
    with pytest.raises(LogGone):
        await reader.next(1)


async def test_a_store_that_stays_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """After `MAX_OUTAGE_SECONDS`; a short outage is not noticed."""
    away = StoreUnavailable("timeout")
    reader = reader_of(ScriptedStore(away, [raw(batch(1, b"a"))]))
    assert await reader.next(1) is not None
    monkeypatch.setattr("proxy.state.log_reader.MAX_OUTAGE_SECONDS", 0.0)
    with pytest.raises(StoreUnavailable):
        await reader_of(ScriptedStore(away)).next(1)
