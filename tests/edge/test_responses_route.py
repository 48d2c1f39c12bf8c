"""`/v1/responses/{id}`: from the log where there is one for this client, else by the upstream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from proxy.state.aliases import set_alias
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End
from tests.edge.scripted_logs import COMPLETE, STREAM, ScriptedLogs, log_state
from tests.integration.resume.asking import Answer, ask

if TYPE_CHECKING:
    from tests.integration.conftest import Demo, StartWorker, Worker

PATH = "/v1/responses/resp_1"
AWAY = StoreUnavailable("timeout")
FOUND = [f"{STREAM} west".encode()]


def event(number: int, **fields: Any) -> bytes:
    return f"data: {json.dumps({'sequence_number': number, **fields})}\n\n".encode()


def response(number: int, kind: str, status: str | None = None) -> bytes:
    """An event that has the response itself."""
    document = {"id": "resp_1", "model": "m"} | ({"status": status} if status else {})
    return event(number, type=kind, response=document)


BEGUN = response(0, "response.created", "in_progress")
WHOLE = response(1, "response.completed", "completed")


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_POLL_SECONDS", "_NEWS_SECONDS"):
        monkeypatch.setattr(f"proxy.edge.responses_route.{name}", 0.0)


def kept(worker: Worker, *looks: Any, events: tuple[bytes, ...] = (BEGUN, WHOLE)) -> ScriptedLogs:
    """A response whose stream has this log."""
    logs = ScriptedLogs(*(looks or [log_state(family="responses")]))
    logs.events = list(events)
    logs.store.answers["pipeline"] = FOUND
    logs.serve(worker)
    return logs


async def get(worker: Worker, query: str = "", **headers: str) -> Answer:
    return await ask(f"{worker.url}{PATH}{query}", **headers)


async def cancel(worker: Worker) -> Answer:
    return await ask(f"{worker.url}{PATH}/cancel", "POST")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?stream=true", BEGUN + WHOLE),
        ("?stream=true&starting_after=0", WHOLE),
        ("?stream=true&starting_after=1", b""),
    ],
)
async def test_it_is_resumed_by_its_own_numbers(
    worker: Worker, demo: Demo, query: str, expected: bytes
) -> None:
    """As the `openai` SDK counts, with the same bytes; the upstream hears nothing of it."""
    kept(worker)
    answer = await get(worker, query)
    assert (answer.status, answer.body, answer.whole) == (200, expected, True)
    assert demo.state.seen == 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", None),
        ("&starting_after=0", None),
        ("&starting_after=6", event(7) + event(8)),
        ("&starting_after=7", event(8)),
        ("&starting_after=8", b""),
    ],
)
async def test_whose_beginning_is_not_kept_any_more(
    worker: Worker, query: str, expected: bytes | None
) -> None:
    """What is kept is given to whoever misses nothing before it; others get 410, and its number."""
    log = log_state(family="responses", first=8, events=9, oldest=event(7))
    kept(worker, log, events=tuple(map(event, range(9))))
    answer = await get(worker, f"?stream=true{query}")
    if expected is None:
        document = json.loads(answer.body)
        assert (answer.status, document["error"]["code"]) == (410, "events_gone")
        assert document["first_event"] == document["error"]["first_event"] == 7
    else:
        assert (answer.status, answer.body, answer.whole) == (200, expected, True)


@pytest.mark.parametrize("query", ["", "?stream=true", "?stream=true&starting_after=x"])
async def test_the_head_of_it(worker: Worker, demo: Demo, query: str) -> None:
    """HEAD is answered where GET is: from the log, and without a body."""
    kept(worker)
    head = await ask(f"{worker.url}{PATH}{query}", "HEAD")
    got = await get(worker, query)
    assert (head.status, head.body) == (got.status, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert demo.state.seen == 0


@pytest.mark.parametrize("query", ["starting_after=x", "starting_after=-1", "starting_after="])
async def test_a_number_that_is_none(worker: Worker, query: str) -> None:
    """It is refused: from the beginning would show events twice."""
    kept(worker)
    answer = await get(worker, f"?stream=true&{query}")
    assert answer.status == 400
    assert "starting_after" in answer.body.decode()


async def test_it_is_seen_as_far_as_it_has_come(worker: Worker) -> None:
    """As a document that no cache keeps."""
    kept(worker, log_state(None, family="responses"), events=(BEGUN,))
    answer = await get(worker)
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(answer.body) == {
        "id": "resp_1",
        "object": "response",
        "model": "m",
        "status": "in_progress",
        "output": [],
    }


@pytest.mark.parametrize(
    ("end", "last", "status"),
    [
        (None, None, "in_progress"),
        (COMPLETE, "incomplete", "incomplete"),
        (COMPLETE, None, "completed"),
        (End("upstream_cut", "upstream_cut"), "in_progress", "failed"),
        (End("client_left", "stopped"), "in_progress", "cancelled"),
    ],
)
async def test_its_status(worker: Worker, end: End | None, last: str | None, status: str) -> None:
    """How the stream ended goes before what its last event had said of it."""
    kept(worker, log_state(end), events=(response(0, "response.created", last),))
    assert json.loads((await get(worker)).body)["status"] == status


async def test_of_a_log_without_an_event(worker: Worker) -> None:
    """It has an id and a status all the same."""
    kept(worker, log_state(None, events=0), events=())
    document = json.loads((await get(worker)).body)
    assert document == {"id": "resp_1", "object": "response", "status": "in_progress"}


async def test_it_is_cancelled_and_its_end_is_waited_for(worker: Worker) -> None:
    """What is answered is what there is of it when it has ended."""
    running, ended = log_state(None), log_state(End("client_left", "stopped"))
    logs = kept(worker, running, running, running, ended, events=(BEGUN,))
    answer = await cancel(worker)
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "cancelled")
    assert logs.calls("stop") == [("stop", STREAM, "anybody")]
    assert len(logs.looks) == 1


async def test_what_was_cancelled_has_no_error(worker: Worker) -> None:
    """Its end in the stream is an error event; as a document it is what OpenAI gives of one."""
    failed = {"status": "failed", "error": {"code": "server_error", "message": "Stopped."}}
    last = event(1, type="response.failed", response={"id": "resp_1", **failed})
    kept(worker, log_state(End("client_left", "stopped")), events=(BEGUN, last))
    for answer in (await cancel(worker), await get(worker)):
        document = json.loads(answer.body)
        assert (document["status"], document["error"]) == ("cancelled", None)


async def test_an_end_that_does_not_come(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for a while; the order has been given, and is not taken back."""
    monkeypatch.setattr("proxy.edge.responses_route._CANCEL_SECONDS", 0.0)
    kept(worker, log_state(None), events=(BEGUN,))
    answer = await cancel(worker)
    assert json.loads(answer.body)["status"] == "cancelled"


async def test_what_has_ended_well_is_not_called_cancelled(worker: Worker) -> None:
    """The order came too late."""
    kept(worker)
    assert json.loads((await cancel(worker)).body)["status"] == "completed"


async def test_a_response_that_is_gone_before_it_can_be_cancelled(worker: Worker) -> None:
    """Its log has expired between two questions."""
    logs = kept(worker)
    logs.stops = False
    assert (await cancel(worker)).status == 404


async def test_the_client_may_know_of_it_before_the_store(worker: Worker, demo: Demo) -> None:
    """The id is looked for once more before the upstream is asked, which would know nothing."""
    logs = kept(worker)
    answers = iter([[None], FOUND])
    logs.store.answers["pipeline"] = lambda _asked: next(answers)
    assert (await get(worker)).status == 200
    assert demo.state.seen == 0
    [(command, key)] = {asked.keys[0] for asked in logs.store.calls("pipeline")}
    assert (command, key) == ("GET", set_alias("resp_1", "", "")[1])


async def test_an_id_of_which_no_log_is_known(worker: Worker) -> None:
    """The upstream is asked: it is its own answer that the client gets."""
    logs = kept(worker)
    for answer in ([None], [b"- west"]):
        logs.store.answers["pipeline"] = answer
        assert await upstream_was_asked(worker)


async def upstream_was_asked(worker: Worker) -> bool:
    """Whether both questions went there, and nothing came from a log."""
    answers = [await get(worker), await cancel(worker)]
    return all(
        "Sluice-Stream-Id" not in answer.headers and answer.status == 404 for answer in answers
    )


@pytest.mark.parametrize("failure", [AWAY, None])
async def test_a_log_that_is_not_there(worker: Worker, failure: Exception | None) -> None:
    """The upstream may know it: the store that is away stops no request."""
    kept(worker, failure)
    assert await upstream_was_asked(worker)


async def test_a_log_that_is_another_clients(worker: Worker, demo: Demo) -> None:
    """404 without asking the upstream, which would take this client for the other."""
    kept(worker, None).anybodys = True
    for answer in (await get(worker), await cancel(worker)):
        assert answer.status == 404
        assert json.loads(answer.body)["error"]["code"] == "stream_not_found"
    assert demo.state.seen == 0


async def test_a_store_that_is_away(worker: Worker) -> None:
    """The same where not even the id can be looked for."""
    kept(worker).store.answers["pipeline"] = AWAY
    assert await upstream_was_asked(worker)


async def test_without_a_store(worker: Worker) -> None:
    """Sluice is an ordinary gateway."""
    assert worker.state.resumables is None
    assert await upstream_was_asked(worker)


async def test_who_has_no_key(start_worker: StartWorker) -> None:
    """It is refused as on any other route, whatever there is under the id."""
    worker = await start_worker(client_keys={"team": "sk-team"})
    logs = kept(worker)
    assert (await get(worker)).status == 401
    assert logs.asked == []
    assert (await get(worker, Authorization="Bearer sk-team")).status == 200
    assert logs.calls("look")[0] == ("look", STREAM, "key:team")
