"""The telemetry of each request: metrics, prices, tracing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from proxy.edge.telemetry import Telemetry
from tests.edge.asking import ask, ask_in_vain, chat
from tests.integration.conftest import StartWorker, Worker, until


def exposition(telemetry: Telemetry) -> str:
    return generate_latest(telemetry.registry).decode()


async def test_a_request_is_in_the_metrics(worker: Worker) -> None:
    """With its route, model, status and outcome, and its tokens to the last one."""
    await ask(worker.url, chat("demo;tokens=7"))
    telemetry = worker.state.telemetry
    await until(lambda: "sluice_requests_total{" in exposition(telemetry), "nothing is counted")
    text = exposition(telemetry)
    assert 'ended_by="complete"' in text
    assert 'route="/v1/chat/completions"' in text
    assert 'sluice_tokens_total{key="",type="output",upstream="default"} 7.0' in text
    assert 'model="demo;tokens=7"' in text


async def test_levels_go_down_again(worker: Worker) -> None:
    """A failed request leaves no stream in flight behind."""
    await ask_in_vain(worker.url, chat("demo;cut=1"))
    telemetry = worker.state.telemetry
    await until(lambda: "sluice_streams_in_flight 0.0" in exposition(telemetry), "still in flight")


async def test_lost_logs_are_counted_from_nought(worker: Worker) -> None:
    """A series that began with its first loss would show no rise."""
    telemetry = worker.state.telemetry
    telemetry.keeps_logs(["full"])
    lost = 'sluice_resumable_streams_lost_total{reason="full"}'
    assert f"{lost} 0.0" in exposition(telemetry)
    telemetry.lost_log("full")
    assert f"{lost} 1.0" in exposition(telemetry)


async def test_a_request_that_ends_before_the_prices_are_read(
    start_worker: StartWorker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is recorded once they are, with its cost."""
    reading = asyncio.Event()
    original = Telemetry._load_prices

    async def late(self: Telemetry) -> None:
        await reading.wait()
        await original(self)

    monkeypatch.setattr(Telemetry, "_load_prices", late)
    prices = tmp_path / "prices.toml"
    prices.write_text('"demo*" = { input = 1.0, output = 1000000.0 }\n')
    worker = await start_worker(prices=str(prices))
    await ask(worker.url, chat("demo;tokens=4"))
    telemetry = worker.state.telemetry
    assert "sluice_cost_usd_total{" not in exposition(telemetry)
    reading.set()
    await until(lambda: "sluice_cost_usd_total{" in exposition(telemetry), "no cost")
    cost = next(line for line in exposition(telemetry).splitlines() if "cost_usd_total{" in line)
    assert float(cost.split()[-1]) == pytest.approx(4.0, abs=0.01)
