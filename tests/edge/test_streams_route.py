"""`/v1/streams/{id}` where the store is late, away, or of another mind than the client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End
from proxy.state.stream_logs import TooManyReaders
from tests.edge.scripted_logs import COMPLETE, STREAM, ScriptedLogs, log_state
from tests.integration.resume.asking import Answer, ask, asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.edge.request_context import RequestContext
    from tests.integration.conftest import Demo, StartWorker, Worker

PATH = f"/v1/streams/{STREAM}"
JSON = {"Accept": "application/json"}
AWAY = StoreUnavailable("timeout")
LOST = End("failed", "producer_lost", events=2)


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.streams_route._POLL_SECONDS", 0.0)


async def read(worker: Worker, query: str = "", **headers: str) -> Answer:
    return await ask(f"{worker.url}{PATH}{query}", **headers)


def code(answer: Answer) -> str:
    """The code of the error in an answer."""
    return str(json.loads(answer.body)["error"]["code"])


@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("GET", JSON), ("DELETE", {})])
async def test_a_store_that_is_away(worker: Worker, method: str, headers: dict[str, str]) -> None:
    """503 with the time after which to ask again: the stream may well be there."""
    logs = ScriptedLogs(AWAY)
    logs.stops = AWAY
    logs.serve(worker)
    answer = await ask(worker.url + PATH, method, **headers)
    assert (answer.status, code(answer)) == (503, "streams_unavailable")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_where_no_streams_are_kept(worker: Worker, method: str) -> None:
    """It is the answer that an unknown id gets."""
    assert worker.state.resumables is None
    answer = await ask(worker.url + PATH, method)
    assert (answer.status, code(answer)) == (404, "stream_not_found")
    assert b"SLUICE_RESUMABLE" in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS"])
async def test_what_cannot_be_done_with_a_stream(worker: Worker, method: str) -> None:
    """It goes to no upstream, and the client is told what it can do."""
    answer = await ask(worker.url + PATH, method)
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "DELETE"}


@pytest.mark.parametrize(
    "path", ["/v1/streams", "/v1/streams/", f"{PATH}/", f"{PATH}/events", "/v1/stream/?q=Hello"]
)
async def test_around_the_streams_is_nothing(worker: Worker, demo: Demo, path: str) -> None:
    """There is no list, and no upstream is asked for one."""
    ScriptedLogs(log_state()).serve(worker)
    for method in ("GET", "DELETE", "POST"):
        answer = await ask(worker.url + path, method)
        assert (answer.status, code(answer)) == (404, "stream_not_found")
    assert demo.state.seen == 0


@pytest.mark.parametrize(
    ("log", "query", "headers"),
    [
        (log_state(), "", {}),
        (log_state(None), "?after=1", {}),
        (log_state(), "", JSON),
        (log_state(), "?after=2", {}),
        (log_state(first=2), "", {}),
        (log_state(), "?after=x", {}),
        (None, "", {}),
    ],
    ids=["ended", "live", "state", "nothing left", "gone", "no number", "unknown"],
)
async def test_the_head_of_what_a_get_would_give(
    worker: Worker, log: Any, query: str, headers: dict[str, str]
) -> None:
    """HEAD has its status and its headers, no body, and is no reader (RFC 9110, 9.3.2)."""
    logs = ScriptedLogs(log)
    logs.serve(worker)
    head = await ask(f"{worker.url}{PATH}{query}", "HEAD", **headers)
    assert not logs.calls("read")
    assert (head.body, head.whole) == (b"", True)
    async with asked(f"{worker.url}{PATH}{query}", **headers) as got:
        assert head.status == got.status
        assert told(head.headers) == told(got.headers)


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers without those that differ between any two answers."""
    own = {"date", "x-request-id", "request-id", "content-length", "transfer-encoding"}
    return {name.lower(): value for name, value in headers.items() if name.lower() not in own}


async def test_a_cursor_that_is_ahead_of_the_store(worker: Worker) -> None:
    """The client has seen events that are on their way to the store: they are waited for."""
    logs = ScriptedLogs(*[log_state(None, events=count) for count in (0, 1, 2)])
    logs.events.append(b"data: 3\n\n")
    logs.serve(worker)
    async with asked(f"{worker.url}{PATH}?after=2") as answer:
        assert answer.status == 200
        assert await answer.content.readany() == b"data: 3\n\n"
    assert logs.calls("read") == [("read", STREAM, "anybody", 2)]


@pytest.mark.parametrize(
    ("log", "after"),
    [(log_state(), 3), (log_state(None), 10_003), (log_state(LOST), 10_003)],
    ids=["ended", "far ahead", "far ahead of a lost one"],
)
async def test_a_cursor_that_the_stream_never_had(worker: Worker, log: Any, after: int) -> None:
    """It is refused at once, with what there is: to wait for such events would be in vain."""
    ScriptedLogs(log).serve(worker)
    answer = await read(worker, f"?after={after}")
    assert answer.status == 400
    assert f"2 events, not {after}" in answer.body.decode()


async def test_a_cursor_that_stays_ahead(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever."""
    monkeypatch.setattr("proxy.edge.streams_route._AHEAD_SECONDS", 0.01)
    ScriptedLogs(log_state(None)).serve(worker)
    assert (await read(worker, "?after=3")).status == 400


@pytest.mark.parametrize("after", [2, 3, 10_002])
async def test_a_client_that_saw_more_than_was_kept(worker: Worker, after: int) -> None:
    """The stream's worker died before the store had all of it.

    The client gets the last event, which says so; one that has had that is told that nothing is
    left.
    """
    ScriptedLogs(log_state(LOST)).serve(worker)
    answer = await read(worker, f"?after={after}")
    if after == 2:
        assert answer.status == 204
        assert answer.headers["Sluice-Ended-By"] == "failed"
    else:
        assert (answer.status, answer.body) == (200, b"data: 2\n\n")


@pytest.mark.parametrize(("rest", "status"), [(0, 204), (7, 200)])
async def test_after_the_last_event(worker: Worker, rest: int, status: int) -> None:
    """204 where nothing is left; bytes of an event that never became whole are something."""
    end = End("upstream_cut", "upstream_cut", events=2, rest=rest)
    ScriptedLogs(log_state(end)).serve(worker)
    assert (await read(worker, "?after=2")).status == status


async def test_events_that_are_not_kept_any_more(worker: Worker) -> None:
    """410, with the first that is, for programs at two places; from there on all is sent."""
    logs = ScriptedLogs(log_state(first=2))
    logs.serve(worker)
    answer = await read(worker)
    document = json.loads(answer.body)
    assert (answer.status, document["first_event"], document["error"]["first_event"]) == (410, 2, 2)
    assert (await read(worker, "?after=1")).status == 200


@pytest.mark.parametrize("headers", [{}, JSON])
async def test_a_stream_whose_worker_has_died(worker: Worker, headers: dict[str, str]) -> None:
    """Whoever asks next gives it its end, and is answered with that."""
    logs = ScriptedLogs(log_state(None), log_state(LOST))
    logs.dead = True
    logs.serve(worker)
    answer = await read(worker, **headers)
    assert answer.status == 200
    assert logs.calls("end_orphan") == [("end_orphan", STREAM)]
    if headers:
        assert json.loads(answer.body)["error"] == "producer_lost"


async def test_its_state_in_json(worker: Worker) -> None:
    """Where that is asked for, and not where a browser takes anything."""
    logs = ScriptedLogs(log_state(None))
    logs.serve(worker)
    answer = await read(worker, **JSON)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.body)["status"] == "generating"
    logs.looks = [log_state()]
    for accept in ("text/event-stream, application/json;q=0.5", "*/*", "application/json; q=0"):
        read_as = await read(worker, Accept=accept)
        assert read_as.headers["Content-Type"].startswith("text/event-stream")


async def test_as_many_readers_as_a_worker_may_have(worker: Worker) -> None:
    """One more is told when to come again; a place is free once a reader has left."""
    logs = ScriptedLogs(log_state(None))
    resumables = logs.serve(worker, readers=1)
    async with asked(worker.url + PATH) as reading:
        await reading.content.readany()
        over = await read(worker)
        assert (over.status, code(over)) == (503, "too_many_readers")
        assert over.headers["Retry-After"] == "1"
    async with asyncio.timeout(20):
        await resumables.all_read.wait()
    assert (resumables.readers, logs.left) == (0, 1)


@pytest.mark.parametrize(("failure", "status"), [(TooManyReaders(), 503), (AWAY, 503), (None, 404)])
async def test_a_place_is_not_lost_by_what_goes_wrong(
    worker: Worker, failure: Exception | None, status: int
) -> None:
    """The stream has its own bound of readers, the store may go away, and the log may expire.

    Also between the look at the log and the beginning of the reading.
    """
    logs = ScriptedLogs(log_state(), None)
    logs.reads = failure
    resumables = logs.serve(worker)
    assert (await read(worker)).status == status
    assert (resumables.readers, logs.left) == (0, 0)


async def test_a_stream_is_stopped_by_whom_it_belongs_to(worker: Worker) -> None:
    """204, and 204 again; others are told that there is none."""
    logs = ScriptedLogs(log_state(None))
    logs.serve(worker)
    for _ in range(2):
        assert (await ask(worker.url + PATH, "DELETE")).status == 204
    logs.stops = False
    assert (await ask(worker.url + PATH, "DELETE")).status == 404
    assert logs.calls("stop") == [("stop", STREAM, "anybody")] * 3


async def test_who_has_no_key(start_worker: StartWorker) -> None:
    """The store is not asked for those who may not ask."""
    worker = await start_worker(client_keys={"team": "sk-team"})
    logs = ScriptedLogs(log_state())
    logs.serve(worker)
    assert (await read(worker)).status == 401
    assert logs.asked == []
    assert (await read(worker, Authorization="Bearer sk-team")).status == 200
    assert logs.calls("read") == [("read", STREAM, "key:team", 0)]


async def test_a_page_of_another_site(worker: Worker) -> None:
    """It can neither read nor stop what a browser's owner has running."""
    logs = ScriptedLogs(log_state())
    logs.serve(worker)
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    for method in ("GET", "DELETE"):
        assert (await ask(worker.url + PATH, method, **foreign)).status == 403
    assert logs.asked == []


async def test_every_answer_has_one_line_in_the_log(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its true status and end; a reader that leaves is one, and no defect."""
    logs = ScriptedLogs(log_state())
    resumables = logs.serve(worker)
    ended: list[tuple[int, str]] = []
    finish = worker.state.telemetry.finish

    def finished(context: RequestContext) -> None:
        finish(context)
        ended.append((context.record.status, str(context.record.ended_by)))

    monkeypatch.setattr(worker.state.telemetry, "finish", finished)
    await read(worker)
    await read(worker, "?after=2")
    await read(worker, **JSON)
    await read(worker, "?after=x")
    logs.looks = [log_state(None)]
    async with asked(worker.url + PATH) as reading:
        await reading.content.readany()
    async with asyncio.timeout(20):
        await resumables.all_read.wait()
        while len(ended) < 5:
            await asyncio.sleep(0.005)
    assert ended == [
        (200, "complete"),
        (204, "complete"),
        (200, "complete"),
        (400, "rejected"),
        (200, "client_left"),
    ]


async def test_progress_is_the_producers_own_word(worker: Worker) -> None:
    """Of one in this worker at first hand, of another's from the store; none where that is away."""
    logs = ScriptedLogs(log_state(COMPLETE, progress='{"stage": "thinking"}'))
    logs.serve(worker)
    body = await read(worker, "?progress=1")
    assert b'"stage": "thinking"' in body.body
    running: Any = type("Log", (), {"progress": lambda _: {"progress": '{"stage": "queued"}'}})()
    logs.writer.running[STREAM] = running
    body = await read(worker, "?progress=1")
    assert b'"stage": "queued"' in body.body
    assert b'"stage": "thinking"' not in body.body
    logs.writer.running.clear()
    logs.looks = [log_state(), AWAY, log_state()]
    body = await read(worker, "?progress=1")
    assert body.body.count(b"event: progress") == 1
    assert body.whole
