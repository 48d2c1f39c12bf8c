"""Entries as the store has them, and as they are read."""

from __future__ import annotations

import pytest

from proxy.state.log_entry import (
    LOGS_AT_ONCE,
    End,
    Entry,
    EntryId,
    end_id,
    entry_of,
    events_of,
    heartbeat_of,
    id_of,
    inbox_of,
    joined,
    keys_of,
    pairs_of,
    script_groups,
)

EVENTS = [b"data: 1\n\n", b"", b"data: \xff\r\n\r\n"]


def raw(entry_id: str, **fields: bytes) -> list[object]:
    """An entry as the store answers it."""
    return [entry_id.encode(), [part for name in fields for part in (name.encode(), fields[name])]]


def test_a_batch_is_read_as_it_was_written() -> None:
    """Every event whole, an empty one and broken text, too."""
    lengths = joined([len(event) for event in EVENTS]).encode()
    entry = entry_of(raw("5-0", l=lengths, d=b"".join(EVENTS)))
    assert events_of(entry) == EVENTS
    assert (entry.id, entry.first, entry.end) == (EntryId(5), 3, None)


def test_an_end_is_read_as_it_was_written() -> None:
    """With what came after the last event."""
    end = End("error_event", "overloaded", whole=True, figures={"tokens": 3}, events=7, rest=4)
    entry = entry_of(raw("7-2", end=end.encoded().encode(), tail=b"data"))
    assert (entry.end, entry.tail, entry.lengths) == (end, b"data", ())
    assert entry.id == end_id(7)


def test_ids_stand_in_the_order_of_what_they_name() -> None:
    """Batches by number and not by digits, the end after the last event."""
    ids = ["9-0", "9-2", "10-0", "10-2"]
    read = [id_of(text.encode()) for text in ids]
    assert read == sorted(read)
    assert [str(entry_id) for entry_id in read] == ids


def test_a_hash_is_read_in_pairs() -> None:
    """Broken text is readable, not an error."""
    assert pairs_of([b"a", b"1", b"b", b"\xff"]) == {"a": "1", "b": "�"}
    assert pairs_of([]) == {}


def test_half_a_pair_is_an_error() -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="shorter"):
        pairs_of([b"a"])


def test_the_keys_of_a_log_lie_on_one_node() -> None:
    """A script may touch them together in a cluster: they share what is in braces."""
    tags = {key[key.index("{") : key.index("}") + 1] for key in keys_of("0" * 32)}
    assert len(tags) == 1
    assert len(set(keys_of("0" * 32)) | set(keys_of("1" * 32))) == 6


def test_what_wakes_a_worker_is_not_its_heartbeat() -> None:
    """Nor anything of another worker."""
    names = {heartbeat_of("a"), inbox_of("a"), heartbeat_of("b"), inbox_of("b")}
    assert len(names) == 4


def test_the_first_event_of_an_empty_entry() -> None:
    """It would be the next one."""
    assert Entry(EntryId(4)).first == 5


@pytest.mark.parametrize(
    ("one_node", "sizes"), [(True, [LOGS_AT_ONCE, 3]), (False, [1] * (LOGS_AT_ONCE + 3))]
)
def test_logs_that_share_a_call(one_node: bool, sizes: list[int]) -> None:
    """Each log is in one call, in order; a call stays short, and on one node of a cluster."""
    logs = list(range(LOGS_AT_ONCE + 3))
    groups = script_groups(logs, one_node=one_node)
    assert [len(group) for group in groups] == sizes
    assert [log for group in groups for log in group] == logs
