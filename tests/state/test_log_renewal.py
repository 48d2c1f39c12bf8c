"""A producer's renewal of its logs: what it writes, and what it hears."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy.state.error_map import StoreUnavailable
from proxy.state.log_renewal import renew
from proxy.state.log_unconfirmed import FORGOTTEN
from proxy.state.produced_log import ProducedLog
from tests.state.test_log_unconfirmed import Writer
from tests.state.test_produced_log import Owner

if TYPE_CHECKING:
    from proxy.state.store import Store


class Sending:
    """A store that keeps what was sent, with the answer that is to come; or sends nothing."""

    def __init__(self, *, available: bool = True) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.available = available

    def send(self, _script: object, keys: Any, arguments: Any) -> asyncio.Future[Any]:
        if not self.available:
            raise StoreUnavailable("timeout")
        self.sent.append((keys, arguments))
        return self.answer

    @property
    def as_store(self) -> Store:
        return cast("Store", self)


def log_with(**header: str | bytes) -> ProducedLog:
    log = ProducedLog(Owner(), "0" * 32, 100)
    log.header = dict(header)
    return log


async def answered(store: Sending, *replies: tuple[int, int, int]) -> None:
    """The store says so of each log."""
    store.answer.set_result(replies)
    await asyncio.sleep(0)


async def test_how_far_a_log_is_and_what_is_new_in_its_header_is_told_once() -> None:
    """The figures each time, the rest once it is known to have been heard."""
    store, log = Sending(), log_with(head="{}")
    log.progress = lambda: {"progress": b"1"}
    renew(store.as_store, Writer(), [[log]], 60)
    await answered(store, (1, 0, 0))
    renew(store.as_store, Writer(), [[log]], 60)
    keys = list(log.keys)
    assert store.sent == [
        (keys, [60, 2, "head", "{}", "progress", b"1"]),
        (keys, [60, 1, "progress", b"1"]),
    ]


@pytest.mark.parametrize("sends", [True, False])
async def test_what_a_store_may_not_have_heard_is_told_again(*, sends: bool) -> None:
    """And what has changed meanwhile is told as it is by then."""
    store, log = Sending(available=sends), log_with(head="{}", response_id="old")
    renew(store.as_store, Writer(), [[log]], 60)
    log.header["response_id"] = "new" if sends else "old"
    if sends:
        store.answer.set_exception(StoreUnavailable("timeout"))
        await asyncio.sleep(0)
    assert log.header == {"head": "{}", "response_id": "new" if sends else "old"}


async def test_a_log_hears_of_its_readers_and_once_that_it_shall_stop() -> None:
    """Whoever wants it stopped twice has stopped it."""
    store, read, unread = Sending(), log_with(), log_with()
    read.last_read_at = unread.last_read_at = 0.0
    stopped: list[str] = []
    read.stopped = lambda: stopped.append("read")
    for _ in range(2):
        store.answer = asyncio.get_running_loop().create_future()
        renew(store.as_store, Writer(), [[read, unread]], 60)
        await answered(store, (1, 1, 3), (1, 0, 0))
    assert stopped == ["read"]
    assert read.last_read_at > 0.0
    assert unread.last_read_at == 0.0


async def test_a_log_that_is_not_there_is_given_up_unless_it_has_ended() -> None:
    """An ended one may have expired."""
    store, writer, gone, ended = Sending(), Writer(), log_with(), log_with()
    ended.ended.set()
    renew(store.as_store, writer, [[gone, ended]], 60)
    await answered(store, (0, 0, 0), (0, 0, 0))
    assert (writer.lost, gone.lost, ended.lost) == ([FORGOTTEN], FORGOTTEN, "")
