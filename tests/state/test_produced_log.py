"""A stream's log while its producer runs: batches out of events, and the bound."""

from __future__ import annotations

from proxy.state.log_entry import End, Entry, EntryId, end_id, events_of
from proxy.state.produced_log import ProducedLog

END = End("complete")


class Owner:
    """Counts how often it is told of something to write."""

    def __init__(self) -> None:
        self.told = 0

    def changed(self, log: ProducedLog) -> None:
        self.told += 1


def log_of(owner: Owner | None = None, most_bytes: int = 1000) -> ProducedLog:
    return ProducedLog(owner or Owner(), "0" * 32, most_bytes)


def test_events_are_written_in_batches() -> None:
    """The writer is told once for all that came before it looked."""
    owner = Owner()
    log = log_of(owner)
    log.add(b"one")
    log.add(b"three")
    assert owner.told == 1
    log.take()
    assert list(log.unsent) == [(2, [3, 5], b"onethree")]
    assert log.position == EntryId(2)
    log.add(b"x")
    assert owner.told == 2


def test_nothing_new_is_no_batch() -> None:
    """An empty entry would have the id of the last one."""
    log = log_of()
    log.take()
    assert not log.unsent
    assert log.position == EntryId(0, 1)


def test_batches_wait_in_order_until_the_store_has_confirmed_them() -> None:
    """Each with the number of its last event."""
    log = log_of()
    for event in (b"one", b"two"):
        log.add(event)
        log.take()
    assert list(log.unsent) == [(1, [3], b"one"), (2, [3], b"two")]


def test_what_is_over_the_bound_is_dropped_oldest_first() -> None:
    """As few batches as suffice, and never the newest, however large that is."""
    log = log_of(most_bytes=10)
    for size in (4, 4, 4):
        log.add(b"x" * size)
        log.take()
    assert log.drop_before() == 2
    assert log.drop_before() == 0
    assert log.kept_bytes == 8
    log.unsent.clear()
    log.add(b"x" * 50)
    log.take()
    assert log.drop_before() == 4
    assert log.kept_bytes == 50


def test_exactly_the_bound_is_kept() -> None:
    """Nothing is dropped that has room."""
    log = log_of(most_bytes=8)
    for _ in range(2):
        log.add(b"four")
        log.take()
    assert log.drop_before() == 0


def test_the_end_waits_for_all_before_it() -> None:
    """Also for what the store has not confirmed."""
    log = log_of()
    log.add(b"one")
    log.end(END, b"tail")
    assert log.take_end() is None
    log.take()
    assert log.take_end() is None
    log.unsent.popleft()
    assert log.take_end() == Entry(end_id(1), end=END, tail=b"tail")
    assert log.position == end_id(1)


def test_the_first_end_counts() -> None:
    """Whoever ends it later changes nothing."""
    log = log_of()
    log.end(END)
    log.end(End("failed"))
    assert log.ending is not None
    assert log.ending.end == END


def test_who_reads_here_has_each_entry_at_once_and_the_end_once() -> None:
    """Without the store, and also where the end is asked for again."""
    entries: list[Entry] = []
    log = log_of()
    log.written = entries.append
    log.add(b"one")
    log.take()
    log.unsent.clear()
    log.end(END)
    log.take_end()
    log.take_end()
    assert [entry.id for entry in entries] == [EntryId(1), end_id(1)]
    assert events_of(entries[0]) == [b"one"]


def test_a_lost_log_goes_on_for_who_reads_it_here_and_for_nobody_else() -> None:
    """Without a reader nothing is gathered that will never be written."""
    calls: list[str] = []
    log = log_of()
    log.gone = lambda: calls.append("gone")
    log.add(b"one")
    log.take()
    log.give_up("full")
    log.give_up("again")
    assert (log.lost, calls, log.waiting_bytes) == ("full", ["gone"], 0)
    assert log.ended.is_set()
    log.add(b"two")
    assert log.events == 1
    log.written = lambda _entry: None
    log.add(b"two")
    assert log.events == 2


def test_an_ended_log_is_not_lost() -> None:
    """All of it is in the store."""
    log = log_of()
    log.complete()
    assert log.ended.is_set()
    log.give_up("store away")
    assert log.lost == ""


def test_nothing_that_is_over_holds_on_to_its_request() -> None:
    """What it called is let go with its end, whether it is stored, lost before or lost after it."""
    stored, lost_before, lost_after = log_of(), log_of(), log_of()
    for log in (stored, lost_before, lost_after):
        log.gone = log.stopped = lambda: None
    stored.complete()
    lost_before.give_up("full")
    assert lost_before.stopped is not None
    lost_before.end(END)
    lost_after.end(END)
    lost_after.give_up("full")
    for log in (stored, lost_before, lost_after):
        assert (log.gone, log.stopped, log.progress, log.batched) == (None, None, None, None)


def test_what_waits_for_the_store_is_bounded() -> None:
    """Batches and events count; one byte above the bound is too large."""
    log = log_of(most_bytes=5)
    log.add(b"abc")
    log.take()
    log.add(b"de")
    assert log.waiting_bytes == 5
    assert not log.too_large
    log.add(b"f")
    assert log.too_large


def test_commands_for_the_next_batch_may_be_added_when_it_is_made() -> None:
    """Not where there is none to make."""
    asked: list[int] = []
    log = log_of()
    log.batched = lambda: asked.append(log.events)
    log.take()
    log.add(b"one")
    log.take()
    assert asked == [1]
