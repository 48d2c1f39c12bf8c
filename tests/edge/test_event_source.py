"""`GET /v1/stream`: who asks the same again, when, and what that costs."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from proxy.state import aliases
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End
from proxy.state.produced_log import ProducedLog
from tests.edge.scripted_logs import COMPLETE, STREAM, ScriptedLogs, log_state
from tests.integration.resume.asking import Answer, ask
from tests.state.test_produced_log import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.conftest import Demo, StartWorker, Worker
    from tests.state.answering_store import Asked

AWAY = StoreUnavailable("timeout")
QUERY = "model=demo;tokens=2&q=Hello"


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.event_source._POLL_SECONDS", 0.0)
    monkeypatch.setattr("proxy.edge.event_source._LEAVES_SECONDS", 0.0)


class Asking:
    """A worker with scripted logs, which remembers what the store was told of questions."""

    def __init__(self, worker: Worker, *looks: Any, answering: str | None = None) -> None:
        self.worker = worker
        self.logs = ScriptedLogs(*(looks or [log_state()]))
        self.logs.store.answers["pipeline"] = self._answer
        self.logs.serve(worker)
        self.answering = answering
        self.away = False
        self.refusal: StoreUnavailable | None = None
        self.opened: list[Mapping[str, Any]] = []
        self.logs.writer.open = self._open
        self.logs.writer.drop = lambda _log: None

    def _answer(self, asked: Asked) -> list[Any]:
        if self.away:
            raise AWAY
        is_question = asked.keys[0][0] == "GET"
        return [self.answering.encode() if is_question and self.answering else None]

    async def _open(self, header: Mapping[str, Any], _seconds: float) -> ProducedLog:
        if self.refusal is not None:
            raise self.refusal
        self.opened.append(header)
        return ProducedLog(Owner(), "e" * 32, 10**6)

    async def ask(self, query: str = QUERY, **headers: str) -> Answer:
        return await ask(f"{self.worker.url}/v1/stream?{query}", **headers)

    @property
    def told(self) -> list[str]:
        """The commands about questions, but for the look-ups."""
        commands = [asked.keys[0][0] for asked in self.logs.store.calls("pipeline")]
        return [command for command in commands if command != "GET"]


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
async def test_what_asks_nothing(worker: Worker, demo: Demo, method: str) -> None:
    """405: only a GET asks, and pays; and no upstream gets the question in a URL."""
    asking = Asking(worker)
    answer = await ask(f"{worker.url}/v1/stream?{QUERY}", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    assert (demo.state.seen, asking.opened) == (0, [])


async def test_a_question_is_asked_for_the_browser(worker: Worker, demo: Demo) -> None:
    """Its answer is kept for readers; the browser learns from which stream to go on, and first."""
    asking = Asking(worker)
    answer = await asking.ask(QUERY + "&system=Brief", **{"X-Request-ID": "own-1"})
    assert answer.body.startswith(b"retry: 1000\nid: " + b"e" * 32 + b":0\n\n")
    [header] = asking.opened
    assert (header["route"], header["request_id"]) == ("/v1/chat/completions", "own-1")
    assert asking.logs.calls("read") == [("read", "e" * 32, "anybody", 0)]
    async with asyncio.timeout(20):
        while not demo.state.seen:
            await asyncio.sleep(0.005)


async def test_a_question_without_an_id_of_its_own(worker: Worker) -> None:
    """The browser's answer, and the stream that is kept of it, bear the same id."""
    asking = Asking(worker)
    answer = await asking.ask()
    [header] = asking.opened
    assert header["request_id"] == answer.headers["X-Request-ID"]


async def test_a_question_with_its_answer_read_is_asked_anew(worker: Worker) -> None:
    """What was kept of the first is forgotten with its last event."""
    asking = Asking(worker)
    for _ in range(2):
        await asking.ask()
    assert asking.told == ["SET", "DEL", "SET", "DEL"]
    assert len(asking.opened) == 2


@pytest.mark.parametrize("query", ["model=demo", "q=Hello", "model=&q=Hello", "model=demo&q="])
async def test_half_a_question(worker: Worker, query: str) -> None:
    """It is refused with an example, and neither the store nor the upstream hears of it."""
    asking = Asking(worker)
    answer = await asking.ask(query)
    assert answer.status == 400
    assert "/v1/stream?model=" in json.loads(answer.body)["error"]["message"]
    assert (asking.logs.store.asked, asking.opened) == ([], [])


async def test_a_browser_that_goes_on(worker: Worker) -> None:
    """By the id of its last event; no question is asked again, whatever the URL says."""
    asking = Asking(worker)
    answer = await asking.ask(**{"Last-Event-ID": f"{STREAM}:1"})
    assert answer.body.startswith(b"retry: 1000\ndata: 2\nid: " + STREAM.encode() + b":2\n\n")
    assert asking.told == ["DEL"]
    assert asking.opened == []


async def test_a_browser_that_has_had_everything(worker: Worker) -> None:
    """204 keeps it from asking for ever; the same question is a new one from now on."""
    asking = Asking(worker)
    answer = await asking.ask(**{"Last-Event-ID": f"{STREAM}:2"})
    assert answer.status == 204
    assert asking.told == ["DEL"]


def ended(seconds_ago: float, error: str = "") -> Any:
    """A log that has ended so long ago, after running for ten seconds."""
    end = End("client_left" if error else "complete", error, figures={"elapsed_seconds": 10})
    return log_state(end, created=f"{time.time() - seconds_ago - 10:.3f}")


@pytest.mark.parametrize(
    ("log", "again"),
    [
        (lambda: log_state(None), True),
        (lambda: log_state(None, readers=1), False),
        (lambda: log_state(None, first=2), False),
        (lambda: None, False),
        (lambda: ended(1), True),
        (lambda: ended(1000), False),
        (lambda: ended(1, "stopped"), False),
        (lambda: ended(1, "upstream_cut"), True),
    ],
    ids=[
        "it runs",
        "somebody reads it",
        "its beginning is gone",
        "it has expired",
        "it has just ended",
        "it ended long ago",
        "it was stopped",
        "it was cut",
    ],
)
async def test_who_asks_the_same_again(worker: Worker, log: Any, again: bool) -> None:
    """A browser whose first connection broke before its first byte is given the same answer.

    Two who ask the same, or one who asks anew, are not.
    """
    asking = Asking(worker, log(), log_state(), answering=STREAM)
    await asking.ask()
    assert (asking.opened == []) is again


async def test_who_asks_again_may_be_quicker_than_the_news(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That its first connection has gone: it is waited for a moment."""
    monkeypatch.setattr("proxy.edge.event_source._LEAVES_SECONDS", 3600.0)
    still_read = log_state(None, readers=1)
    asking = Asking(worker, still_read, still_read, log_state(None), log_state(), answering=STREAM)
    await asking.ask()
    assert asking.opened == []


@pytest.mark.parametrize(
    "log", [lambda: log_state(None, readers=3), lambda: ended(1000), lambda: ended(1, "stopped")]
)
async def test_a_question_that_is_to_be_asked_once(worker: Worker, log: Any) -> None:
    """A word of the page's own says so; then it is never billed twice, however it is read."""
    asking = Asking(worker, log(), log_state(), answering=STREAM)
    await asking.ask(QUERY + "&once=7f")
    assert (asking.opened, asking.told) == ([], [])


async def test_the_same_words_from_others(worker: Worker) -> None:
    """Another key, another query, another question: none of them finds this answer."""
    asking = Asking(worker)
    keys = []
    for query, headers in (
        (QUERY, {}),
        (QUERY, {"Authorization": "Bearer other"}),
        (QUERY + "&system=Brief", {}),
    ):
        await asking.ask(query, **headers)
        keys.append(asking.logs.store.calls("pipeline")[-1].keys[0][1])
    assert len(set(keys)) == 3
    assert keys[0] == aliases.delete_question(f"anybody 127.0.0.1 {QUERY}")[1]


async def test_a_store_that_cannot_be_told(worker: Worker) -> None:
    """The answer is read all the same; only a repeated question is not known as one."""
    asking = Asking(worker)
    store = asking.logs.store
    store.answers["pipeline"] = lambda asked: [None] if asked.keys[0][0] == "GET" else fail()
    answer = await asking.ask()
    assert (answer.status, answer.whole) == (200, True)


def fail() -> Any:
    """The store does not answer."""
    raise AWAY


async def test_a_store_that_is_away(worker: Worker, demo: Demo) -> None:
    """Nothing is asked that could not be read."""
    asking = Asking(worker)
    asking.away = True
    answer = await asking.ask()
    assert answer.status == 503
    assert demo.state.seen == 0


async def test_an_answer_that_could_not_be_read(worker: Worker, demo: Demo) -> None:
    """Without a log there is no reader: nothing is asked, and billed, for nobody.

    The browser's request and the one made of it are logged with the same end and error.
    """
    asking = Asking(worker)
    asking.refusal = AWAY
    with capture_logs() as lines:
        answer = await asking.ask()
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    logged = [
        (line["method"], line["ended_by"], line["error"])
        for line in lines
        if line["event"] == "request"
    ]
    assert logged == [(method, "failed", "streams_unavailable") for method in ("POST", "GET")]
    assert asking.told == []
    assert demo.state.seen == 0


async def test_what_the_browsers_own_key_may_not_ask(start_worker: StartWorker) -> None:
    """The key goes with the question, in the query as browsers have to send it."""
    keys = ({"name": "team", "key": "sk-team", "models": ["other"]},)
    worker = await start_worker(keys=keys)
    asking = Asking(worker)
    answer = await asking.ask(QUERY + "&key=sk-team")
    assert answer.status in {403, 404}
    assert asking.told == []
    assert (await asking.ask(QUERY + "&key=sk-nobody")).status == 401


async def test_a_stream_that_breaks_is_not_taken_for_read(worker: Worker) -> None:
    """Only a whole answer, or its 204, is one that was read."""
    asking = Asking(worker, log_state(COMPLETE, first=2))
    answer = await asking.ask(**{"Last-Event-ID": f"{STREAM}:0"})
    assert answer.status == 410
    assert asking.told == []
