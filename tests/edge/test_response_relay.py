"""The answer on its way to the client."""

from __future__ import annotations

import aiohttp
import pytest

from tests.edge.asking import CHAT, ask, ask_in_vain, chat
from tests.integration.conftest import StartWorker, Worker


async def test_a_stream_keeps_what_is_in_front_from_buffering(worker: Worker) -> None:
    """X-Accel-Buffering and no-transform are on every stream, and Server-Timing tells the wait."""
    _, headers, _ = await ask(worker.url, chat())
    assert headers["X-Accel-Buffering"] == "no"
    assert "no-transform" in headers["Cache-Control"]
    assert headers["Server-Timing"].startswith("queue;dur=")


async def test_a_plain_answer_keeps_its_headers(worker: Worker) -> None:
    """Only streams are dressed as streams."""
    _, headers, _ = await ask(worker.url, chat(stream=False))
    assert "X-Accel-Buffering" not in headers
    assert "Content-Length" in headers


async def test_figures_for_a_client_that_asks(worker: Worker) -> None:
    """They come as a last comment, after the end mark, and only on request."""
    _, _, plain = await ask(worker.url, chat())
    assert plain.endswith(b"data: [DONE]\n\n")
    _, _, body = await ask(worker.url, chat(), **{"Sluice-Figures": "trailing"})
    last = body.splitlines()[-1]
    assert last.startswith(b": sluice-figures ")
    assert b"output_tokens=3" in last
    assert b"ttft_seconds=" in last


async def test_no_figures_in_a_stream_of_gemini_s(worker: Worker) -> None:
    """Google's SDK for Python would take the comment for data, and raise."""
    url = f"{worker.url}/v1beta/models/demo;tokens=3:streamGenerateContent?alt=sse"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, json={"contents": []}, headers={"Sluice-Figures": "trailing"}) as answer,
    ):
        body = await answer.read()
    assert b"STOP" in body
    assert b"sluice-figures" not in body


@pytest.mark.parametrize("fault", ["length-long", "length-long=1"])
async def test_a_body_of_unknown_form_that_is_cut(worker: Worker, fault: str) -> None:
    """It is not closed cleanly, so an HTTP client sees it."""
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            async with http.post(
                worker.url + CHAT, json=chat(f"demo;tokens=50;{fault}", stream=False)
            ) as answer:
                await answer.read()


async def test_an_upstream_that_falls_silent_is_blamed(start_worker: StartWorker) -> None:
    """Its connection showed nothing, so the relay's clock must count against it."""
    worker = await start_worker(idle_timeout_seconds=0.1, eject_after_failures=100)
    await ask_in_vain(worker.url, chat("demo;hang=2"))
    [upstream] = worker.state.upstreams.status()
    assert upstream["failures_in_a_row"] == 1
