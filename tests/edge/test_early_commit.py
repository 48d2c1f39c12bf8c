"""Until when a request may fail with a true status."""

from __future__ import annotations

import pytest

from tests.edge.asking import ask, ask_in_vain, chat
from tests.integration.conftest import StartWorker

SILENT = "demo;tokens=2;ttft=0.5"


async def test_an_upstream_that_answers_in_time(start_worker: StartWorker) -> None:
    """No ping, and the status is the upstream's own."""
    worker = await start_worker(commit_after_seconds=5, ping_interval_seconds=0.02, retries=0)
    status, _, body = await ask(worker.url, chat("demo;ttft=0.1;status=418"))
    assert status == 418
    assert b": ping" not in body


async def test_a_silent_upstream(start_worker: StartWorker) -> None:
    """After the time of silence a 200 goes out, pings follow, and then the answer, whole."""
    worker = await start_worker(commit_after_seconds=0.05, ping_interval_seconds=0.05)
    status, headers, body = await ask(worker.url, chat(SILENT))
    assert status == 200
    assert headers["Content-Type"].startswith("text/event-stream")
    assert body.startswith(b": ping\n\n: ping\n\n")
    assert body.endswith(b"data: [DONE]\n\n")


async def test_an_upstream_that_fails_after_the_commit(start_worker: StartWorker) -> None:
    """The status is gone, so the stream itself says so, and nothing is tried again."""
    worker = await start_worker(commit_after_seconds=0.05, ping_interval_seconds=0, retries=2)
    status, _, body = await ask_in_vain(worker.url, chat("demo;ttft=0.3;status=503"))
    assert status == 200
    assert b'"code": "upstream_refused"' in body
    assert b"[DONE]" not in body


@pytest.mark.parametrize(("after", "pings"), [(0, 0.02), (0.05, 0)])
async def test_what_is_switched_off(start_worker: StartWorker, after: float, pings: float) -> None:
    """0 switches the early commit off, or the pings."""
    worker = await start_worker(commit_after_seconds=after, ping_interval_seconds=pings)
    _, _, body = await ask(worker.url, chat("demo;tokens=2;ttft=0.2;rate=0"))
    assert b": ping" not in body
    assert body.endswith(b"data: [DONE]\n\n")


async def test_an_answer_that_is_no_stream_is_waited_for(start_worker: StartWorker) -> None:
    """Who asked for no stream gets no pings."""
    worker = await start_worker(commit_after_seconds=0.02, ping_interval_seconds=0.02)
    status, _, body = await ask(worker.url, chat(SILENT, stream=False))
    assert status == 200
    assert body.startswith(b"{")
