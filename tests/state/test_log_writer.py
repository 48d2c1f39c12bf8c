"""All logs of one worker: what the store gets of them, in which order, and what it may refuse."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import LOGS_AT_ONCE, End, Entry, end_id, heartbeat_of
from proxy.state.log_orphans import LogOrphans
from proxy.state.log_quota import LogQuota
from proxy.state.log_writer import LogWriter
from tests.state.answering_store import PIPELINE, AnsweringStore, Asked, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from proxy.state.produced_log import ProducedLog

AWAY = StoreUnavailable("timeout")
END = End("complete", whole=True)
OVERTAKEN = b"ERR The ID specified in XADD is equal or smaller than the target stream top item"


def refusing(error: bytes) -> Callable[[Asked], Any]:
    """The store refuses the batches of all logs that the call names."""
    return lambda asked: [[place, error] for place in range(1, len(asked.keys) + 1)]


def tended(stop: int = 0, readers: int = 0, there: int = 1) -> Any:
    """The same of every log that the call names."""
    return lambda asked: [(there, stop, readers)] * (len(asked.keys) // 3)


def usual_store(*, one_node: bool = True, **other: Any) -> AnsweringStore:
    """A store that takes everything."""
    usual = {
        "log_open": 1,
        "log_write": [],
        "log_renew": tended(),
        "log_end": 1,
        "log_drop": 1,
        "log_beat": 1,
        "log_quota": [],
        "log_last": [[], []],
        PIPELINE: [],
    }
    return AnsweringStore(one_node=one_node, **(usual | other))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BEAT_SECONDS", "FLUSH_SECONDS", "RENEW_SECONDS"):
        monkeypatch.setattr(f"proxy.state.log_writer.{name}", 0.0)


def make_end(_header: Mapping[str, str], _last: Entry, lives: bool) -> tuple[bytes, End]:
    return b"data: lost\n\n", End("failed", "log_lost" if lives else "producer_lost")


@asynccontextmanager
async def writing(store: AnsweringStore, lost: list[str] | None = None) -> AsyncIterator[LogWriter]:
    """A writer on this store; what it says of lost logs is added to `lost`."""
    quota = LogQuota(store.as_store, 10**6)
    orphans = LogOrphans(store.as_store, 60_000, make_end, quota)
    async with LogWriter(
        store.as_store,
        quota,
        orphans,
        ttl_seconds=1,
        open_seconds=1,
        stream_bytes=10**6,
        lost=(lost if lost is not None else []).append,
    ) as writer:
        yield writer


def batches(store: AnsweringStore, log: ProducedLog) -> list[tuple[Any, ...]]:
    """The batches of one log that were sent: number of the last event, lengths, bytes."""
    written = []
    for asked in store.calls("log_write"):
        start = 0
        for key, (last, _, lengths) in zip(asked.keys, json.loads(asked.arguments[0]), strict=True):
            end = start + sum(lengths)
            if key == log.keys[1]:
                written.append((last, lengths, asked.arguments[1][start:end]))
            start = end
    return written


async def test_a_worker_is_seen_to_live_before_its_first_log_can_be_found() -> None:
    """Else a reader that is quick would take its producer for dead."""
    store = usual_store()
    async with writing(store) as writer:
        await writer.open({"owner": "me"})
        beat, opened = store.asked[:2]
        assert (beat.name, beat.keys) == ("log_beat", (heartbeat_of(writer.worker),))
        assert opened.name == "log_open"
        assert opened.arguments[1:] == ("owner", "me", "producer", writer.worker)


@pytest.mark.parametrize(
    "answers", [{"log_open": 0}, {"log_open": AWAY}, {"log_beat": AWAY}], ids=str
)
async def test_a_log_that_cannot_be_had(answers: dict[str, Any]) -> None:
    """The request is told, and nothing is left of it here."""
    async with writing(usual_store(**answers)) as writer:
        with pytest.raises(StoreUnavailable):
            await writer.open({})
        assert writer.running == {}


async def test_a_store_that_says_nothing_is_not_waited_for_long() -> None:
    """`open_seconds` bounds what a request loses by asking for a log."""
    store = usual_store(log_open=lambda _asked: asyncio.get_running_loop().create_future())
    async with writing(store) as writer:
        writer._open_seconds = 0.01
        with pytest.raises(StoreUnavailable, match="timeout"):
            await writer.open({})


async def test_a_request_that_is_nothing_without_a_log() -> None:
    """It may wait for longer than others do."""
    store = usual_store(log_open=lambda _asked: asyncio.ensure_future(asyncio.sleep(0.1, 1)))
    async with writing(store) as writer:
        writer._open_seconds = 0.01
        log = await writer.open({}, 10.0)
        assert writer.running == {log.id: log}


async def test_every_event_is_written_once_and_in_order() -> None:
    """Then the end, with what came after the last event; then the log is no longer this worker's.

    Whoever waits for it learns of it.
    """
    store = usual_store()
    async with writing(store) as writer:
        log = await writer.open({})
        for number in range(1, 6):
            log.add(b"%d" % number)
            await until(lambda: not log.waiting_bytes)
        log.end(END, b"rest")
        await log.ended.wait()
        assert writer.running == {}
    assert b"".join(batch[2] for batch in batches(store, log)) == b"12345"
    [end] = store.calls("log_end")
    assert end.arguments[1:4] == (str(end_id(5)), END.encoded(), b"rest")
    assert store.asked.index(end) > store.asked.index(store.calls("log_write")[-1])


async def test_events_that_come_together_are_written_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But the first one at once: with it comes the name by which the stream is asked for."""
    monkeypatch.setattr("proxy.state.log_writer.FLUSH_SECONDS", 3600)
    store = usual_store()
    async with writing(store) as writer:
        log = await writer.open({})
        log.add(b"one")
        await until(lambda: batches(store, log))
        log.add(b"two")
        log.add(b"three")
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(batches(store, log)) == 1
        writer._due()
        await until(lambda: len(batches(store, log)) == 2)
        assert batches(store, log)[1] == (3, [3, 5], b"twothree")


async def test_what_goes_with_a_batch_is_sent_behind_it() -> None:
    """Once; whether the store takes it changes nothing for the log."""
    store = usual_store(pipeline=AWAY)
    async with writing(store) as writer:
        log = await writer.open({})
        log.commands.append(("SET", "a", "b"))
        log.add(b"one")
        await until(lambda: store.calls(PIPELINE))
        log.add(b"two")
        await until(lambda: not log.waiting_bytes)
        [sent] = store.calls(PIPELINE)
        assert sent.keys == (("SET", "a", "b"),)
        assert not log.lost


@pytest.mark.parametrize(
    ("answer", "reason", "told_to_readers"),
    [(b"", "forgotten", False), (OVERTAKEN, "overtaken", False), (b"OOM no room", "full", True)],
)
async def test_a_batch_that_the_store_refuses(
    answer: bytes, reason: str, told_to_readers: bool
) -> None:
    """The log is lost, once and for a reason; readers elsewhere are told where the log is there.

    A log that somebody else has ended has its end, and one that is forgotten has no readers.
    """
    lost: list[str] = []
    store = usual_store(log_write=refusing(answer))
    async with writing(store, lost) as writer:
        log = await writer.open({})
        log.add(b"one")
        await until(lambda: log.lost)
        log.add(b"two")
        log.end(END)
        await until(lambda: not told_to_readers or store.calls("log_last"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert (log.lost, lost, writer.running) == (reason, [reason], {})
        assert bool(store.calls("log_last")) is told_to_readers
        assert len(store.calls("log_write")) == 1
        assert store.calls("log_end") == []


async def test_a_batch_without_an_answer_is_sent_again_only_if_it_did_not_arrive() -> None:
    """The store is asked how far it came; nothing else of the log is sent before that is known."""
    store = usual_store(log_write=AWAY, log_last=AWAY)
    async with writing(store) as writer:
        log = await writer.open({})
        log.add(b"one")
        await until(lambda: log.unconfirmed_since)
        log.add(b"two")
        log.end(END)
        await until(lambda: len(store.calls("log_last")) > 2)
        assert len(store.calls("log_write")) == 1
        store.answers |= {"log_write": [], "log_last": [[], [[b"1-0", []]]]}
        await log.ended.wait()
    assert not log.lost
    assert [batch[2] for batch in batches(store, log)] == [b"one", b"two"]


@pytest.mark.parametrize(("there", "lost"), [(0, ""), (-1, "forgotten")])
async def test_an_end_that_is_there_already_is_one(there: int, lost: str) -> None:
    """A log that is not there at all is lost."""
    async with writing(usual_store(log_end=there)) as writer:
        log = await writer.open({})
        log.end(END)
        await log.ended.wait()
        assert (log.lost, writer.running) == (lost, {})


async def test_a_short_stream_has_its_header() -> None:
    """It ends before the first renewal: what is new in its header goes with the end."""
    store = usual_store(log_renew=AWAY)
    async with writing(store) as writer:
        log = await writer.open({})
        log.header["head"] = "{}"
        log.end(END)
        await log.ended.wait()
    [end] = store.calls("log_end")
    assert end.arguments[4:] == ("", "", "", "", "head", "{}")


async def test_an_end_without_an_answer_is_written_later() -> None:
    """The log is still this worker's until the store has its end."""
    store = usual_store(log_end=AWAY, log_last=AWAY)
    async with writing(store) as writer:
        log = await writer.open({})
        log.end(END)
        await until(lambda: len(store.calls("log_last")) > 2)
        assert writer.running == {log.id: log}
        store.answers |= {"log_end": 1, "log_last": [[], [[b"0-1", []]]]}
        await log.ended.wait()
    assert not log.lost


@pytest.mark.parametrize("answer", [1, AWAY])
async def test_a_log_of_which_nobody_has_heard_is_taken_back(answer: Any) -> None:
    """Also where the store cannot be told: it expires there."""
    store = usual_store(log_drop=answer)
    async with writing(store) as writer:
        log = await writer.open({})
        log.add(b"one")
        writer.drop(log)
        assert writer.running == {}
        assert log.ended.is_set()
        for _ in range(20):
            await asyncio.sleep(0)
    assert [asked.keys for asked in store.calls("log_drop")] == [log.keys]
    assert store.calls("log_write") == []


async def test_the_header_says_how_far_the_stream_is() -> None:
    """What has changed is said once; progress each time."""
    store = usual_store()
    async with writing(store) as writer:
        log = await writer.open({})
        log.header["response_id"] = "r"
        log.progress = lambda: {"progress": "{}"}
        await until(lambda: len(store.calls("log_renew")) > 1)
        first, second = (asked.arguments for asked in store.calls("log_renew")[:2])
    assert first[1:] == (2, "response_id", "r", "progress", "{}")
    assert second[1:] == (1, "progress", "{}")
    assert first[0] >= 60_000


async def test_a_stream_that_is_to_be_stopped_is_told_so_once() -> None:
    """However often the order is read."""
    stopped: list[str] = []
    store = usual_store(log_renew=tended(stop=1))
    async with writing(store) as writer:
        log = await writer.open({})
        log.stopped = lambda: stopped.append(log.id)
        await until(lambda: len(store.calls("log_renew")) > 3)
    assert stopped == [log.id]


async def test_a_reader_anywhere_keeps_a_stream_read() -> None:
    """And only a reader does."""
    store = usual_store()
    async with writing(store) as writer:
        log = await writer.open({})
        log.last_read_at = long_ago = time.monotonic() - 1000
        await until(lambda: len(store.calls("log_renew")) > 2)
        assert log.last_read_at == long_ago
        store.answers["log_renew"] = tended(readers=1)
        await until(lambda: log.last_read_at > long_ago)
        assert time.monotonic() - log.last_read_at < 500


async def test_a_silent_log_that_the_store_has_forgotten_is_lost() -> None:
    """It is noticed without an event to write."""
    async with writing(usual_store(log_renew=tended(there=0))) as writer:
        log = await writer.open({})
        await until(lambda: log.lost)
        assert log.lost == "forgotten"


async def test_a_log_that_ends_while_the_store_is_asked_about_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the store says of it then is of no interest: it is neither lost nor stopped."""
    answers: list[asyncio.Future[Any]] = []
    store = usual_store()
    async with writing(store) as writer:
        log = await writer.open({})

        def later(_script: Any, _keys: Any = (), _arguments: Any = ()) -> asyncio.Future[Any]:
            answers.append(asyncio.get_running_loop().create_future())
            return answers[-1]

        monkeypatch.setattr(store, "send", later)
        await until(lambda: answers)
        log.end(END)
        await log.ended.wait()
        for answer in answers:
            answer.set_result([(0, 1, 0)])
        await asyncio.sleep(0)
    assert not log.lost


async def test_a_worker_shows_that_it_lives_only_while_it_has_logs() -> None:
    """Whatever else takes long; a beat that fails is followed by the next."""
    store = usual_store()
    async with writing(store) as writer:
        for _ in range(20):
            await asyncio.sleep(0)
        assert store.calls("log_beat") == []
        await writer.open({})
        store.answers |= {"log_beat": AWAY, "log_renew": AWAY}
        await until(lambda: len(store.calls("log_beat")) > 4)


@pytest.mark.parametrize(("one_node", "calls"), [(True, 2), (False, LOGS_AT_ONCE + 1)])
async def test_how_many_logs_one_call_names(one_node: bool, calls: int) -> None:
    """A single server gets many at once, and a bounded number; a cluster has each log on a node."""
    store = usual_store(one_node=one_node)
    async with writing(store) as writer:
        logs = [await writer.open({}) for _ in range(LOGS_AT_ONCE + 1)]
        for log in logs:
            log.add(b"x")
        await until(lambda: all(batches(store, log) for log in logs))
        assert len(store.calls("log_write")) == calls


def told(store: AnsweringStore) -> list[list[Any]]:
    """Of each report on one log: its id, how much it has grown, how long it is kept."""
    return [list(asked.arguments[1:]) for asked in store.calls("log_quota")]


async def test_the_account_hears_how_large_logs_are() -> None:
    """Of one that has ended, for how long it can still be read, too."""
    store = usual_store()
    async with writing(store) as writer:
        log = await writer.open({})
        log.add(b"four")
        log.end(END)
        await log.ended.wait()
        await until(lambda: [log.id, 1000] in [command[::2] for command in told(store)])
    assert sum(command[1] for command in told(store)) == 4


async def test_a_worker_that_stops_writes_what_has_ended() -> None:
    """What has not is left to who finds its heartbeat gone; no task is left behind."""
    store = usual_store()
    before = asyncio.all_tasks()
    async with writing(store) as writer:
        ending, other = await writer.open({}), await writer.open({})
        other.add(b"x")
        ending.add(b"one")
        ending.end(END)
    assert ending.ended.is_set()
    assert len(store.calls("log_end")) == 1
    assert asyncio.all_tasks() == before


async def test_a_store_that_is_away_holds_a_worker_up_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stops all the same."""
    monkeypatch.setattr("proxy.state.log_writer._CLOSE_SECONDS", 0.01)
    async with asyncio.timeout(20), writing(usual_store(log_end=AWAY, log_last=AWAY)) as writer:
        log = await writer.open({})
        log.end(END)
    assert not log.ended.is_set()


async def test_who_reads_a_lost_log_in_its_own_worker_has_all_of_it() -> None:
    """The store is not needed for that: the events and the end are handed on at once."""
    store = usual_store(log_write=refusing(b"OOM"))
    handed: list[Entry] = []
    async with writing(store) as writer:
        log = await writer.open({})
        log.written = handed.append
        log.add(b"one")
        await until(lambda: log.lost)
        log.add(b"two")
        await until(lambda: len(handed) == 2)
        log.end(END)
        await until(lambda: handed[-1].end == END)
    assert [entry.data for entry in handed] == [b"one", b"two", b""]
    assert json.loads(END.encoded())["whole"]
