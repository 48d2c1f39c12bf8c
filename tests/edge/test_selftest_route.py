"""The timed events."""

from __future__ import annotations

import json
import time

import aiohttp
import pytest

from proxy.edge import selftest_route
from tests.integration.conftest import Worker


async def test_events_arrive_as_they_are_sent(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each event comes by itself, as late as it says."""
    monkeypatch.setattr(selftest_route, "INTERVAL_SECONDS", 0.02)
    arrived: list[tuple[int, float]] = []
    async with (
        aiohttp.ClientSession() as http,
        http.get(worker.url + "/selftest/stream") as answer,
    ):
        assert answer.headers["X-Accel-Buffering"] == "no"
        started = time.monotonic()
        while line := await answer.content.readline():
            if line.startswith(b"data: "):
                arrived.append((json.loads(line[6:])["number"], time.monotonic() - started))
    assert [number for number, _ in arrived] == list(range(selftest_route.EVENTS))
    assert arrived[-1][1] - arrived[0][1] > 0.02 * (selftest_route.EVENTS - 1) / 2


async def test_a_browser_that_asks_again(worker: Worker) -> None:
    """It is told to stop: an EventSource would go on for ever."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(worker.url + "/selftest/stream", headers={"Last-Event-ID": "9"}) as answer,
    ):
        assert answer.status == 204
