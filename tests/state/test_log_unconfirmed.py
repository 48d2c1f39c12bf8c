"""Batches whose answer never came: sent again if they did not arrive, and never twice."""

from __future__ import annotations

import time

import pytest

from proxy.state.error_map import StoreUnavailable
from proxy.state.log_unconfirmed import FORGOTTEN, MAX_OUTAGE_SECONDS, UnconfirmedBatches
from proxy.state.produced_log import ProducedLog
from tests.state.scripted_store import ScriptedStore, as_store
from tests.state.test_produced_log import Owner


class Writer:
    """Remembers which logs it is to write again, and why it gave others up."""

    def __init__(self) -> None:
        self.again: list[ProducedLog] = []
        self.lost: list[str] = []

    def changed(self, log: ProducedLog) -> None:
        self.again.append(log)

    def lose(self, log: ProducedLog, reason: str) -> None:
        log.give_up(reason)
        self.lost.append(reason)


def unconfirmed_log(batches: int = 2) -> ProducedLog:
    """A log with so many batches of one event that the store has not confirmed."""
    log = ProducedLog(Owner(), "0" * 32, 100)
    for _ in range(batches):
        log.add(b"one")
        log.take()
    return log


def last(entry_id: str) -> list[object]:
    """The store's answer: the log's header, and its last entry."""
    return [[], [[entry_id.encode(), []]]]


@pytest.mark.parametrize(("there", "unsent"), [("0-1", 2), ("1-0", 1), ("2-0", 0)])
async def test_what_arrived_is_not_sent_again(there: str, unsent: int) -> None:
    """The last entry in the store says how far it came."""
    writer, log = Writer(), unconfirmed_log()
    unconfirmed = UnconfirmedBatches(as_store(ScriptedStore(last(there))), writer)
    unconfirmed.add(log)
    await unconfirmed.settle()
    assert (len(log.unsent), log.unconfirmed_since, writer.again) == (unsent, None, [log])
    await unconfirmed.settle()  # It is settled: the store has no second answer.


async def test_a_log_that_the_store_has_forgotten_is_given_up() -> None:
    """A restart has taken it: what comes next has nothing to stand on."""
    writer = Writer()
    unconfirmed = UnconfirmedBatches(as_store(ScriptedStore([[], []])), writer)
    unconfirmed.add(unconfirmed_log())
    await unconfirmed.settle()
    assert writer.lost == [FORGOTTEN]


async def test_a_store_that_is_away_is_waited_for() -> None:
    """Whether nobody asks it at present or it gives no answer."""
    writer, log = Writer(), unconfirmed_log()
    store = ScriptedStore(StoreUnavailable("timeout"), available=False)
    unconfirmed = UnconfirmedBatches(as_store(store), writer)
    unconfirmed.add(log)
    since = log.unconfirmed_since
    await unconfirmed.settle()
    store.available = True
    await unconfirmed.settle()
    unconfirmed.add(log)
    assert (writer.lost, writer.again, log.unconfirmed_since) == ([], [], since)


async def test_but_not_for_ever() -> None:
    """Memory is bounded by time, and by the size of a log."""
    writer, late, large = Writer(), unconfirmed_log(), unconfirmed_log(50)
    unconfirmed = UnconfirmedBatches(as_store(ScriptedStore(available=False)), writer)
    late.unconfirmed_since = time.monotonic() - MAX_OUTAGE_SECONDS - 1
    unconfirmed.add(late)
    unconfirmed.add(large)
    await unconfirmed.settle()
    assert writer.lost == ["store away", "store away"]


async def test_a_log_that_is_of_no_interest_any_more_is_not_asked_about() -> None:
    """It was dropped, or lost for another reason."""
    dropped, lost = unconfirmed_log(), unconfirmed_log()
    store = ScriptedStore()
    unconfirmed = UnconfirmedBatches(as_store(store), Writer())
    unconfirmed.add(dropped)
    unconfirmed.add(lost)
    unconfirmed.discard(dropped)
    lost.give_up("full")
    await unconfirmed.settle()
    assert store.asked == []
