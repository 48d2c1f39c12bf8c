"""The routes of a worker, and what a client sees when something goes wrong in it."""

from __future__ import annotations

import aiohttp
import pytest
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from proxy.edge import forward
from proxy.edge.request_context import RequestContext
from proxy.record import EndedBy
from tests.edge.asking import ask, chat
from tests.integration.conftest import Demo, Worker, until
from tests.integration.raw import Line, ask_chat


@pytest.mark.parametrize("path", ["/", "/nope", "/v2/chat/completions", "/metrics"])
async def test_an_unknown_path(worker: Worker, path: str) -> None:
    """JSON with a request id, and never the metrics."""
    async with aiohttp.ClientSession() as http, http.get(worker.url + path) as answer:
        assert answer.status == 404
        error = (await answer.json())["error"]
        assert error["request_id"] == answer.headers["X-Request-ID"]


async def test_a_known_path_with_another_method(worker: Worker) -> None:
    """405 says which methods there are."""
    async with aiohttp.ClientSession() as http, http.post(worker.url + "/readyz") as answer:
        assert answer.status == 405
        assert "GET" in answer.headers["Allow"]
        assert (await answer.json())["error"]["code"] == "method_not_allowed"


async def test_a_defect(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client gets a 500 in JSON and no word of the traceback, and the slot is free again.

    Answer, traceback and request line have one id, and it counts as Sluice's own failure.
    """
    recorded: list[RequestContext] = []
    monkeypatch.setattr(worker.state.telemetry, "_record", recorded.append)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(forward, "prepare", broken)
    with capture_logs(processors=[format_exc_info]) as lines:
        status, headers, body = await ask(worker.url, chat())
    assert status == 500
    assert b"secret detail" not in body
    assert b"internal_error" in body
    assert headers["X-Request-ID"].encode() in body
    assert worker.state.admission.taken == 0
    [line] = [line for line in lines if line["event"] == "request_failed"]
    assert line["request_id"] == headers["X-Request-ID"]
    assert "secret detail" in line["exception"]
    await until(lambda: len(recorded) == 1, "it is not recorded")
    assert recorded[0].record.request_id == headers["X-Request-ID"]
    assert recorded[0].record.ended_by is EndedBy.FAILED


async def test_a_client_that_leaves_cancels_its_handler(worker: Worker, demo: Demo) -> None:
    """It is off in aiohttp unless told; all that ends an upstream's work depends on it."""
    async with await Line.open(worker.url) as line:
        await line.send(ask_chat("hang-before"))
        await demo.state.until(lambda state: bool(state.open))
    await demo.state.until(lambda state: not state.open)
    assert demo.state.calls[-1].ended_by == "left"
