"""Alive, ready, and a worker's own report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from proxy.edge.app import create_runner
from proxy.edge.health_routes import INTERNAL_PATH
from tests.integration.conftest import Worker


async def _of_the_supervisor(worker: Worker, path: Path) -> dict[str, Any]:
    """The report, asked for where only the supervisor asks."""
    runner = create_runner(worker.state)
    await runner.setup()
    await web.UnixSite(runner, path).start()
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as http,
            http.get("http://worker" + INTERNAL_PATH) as answer,
        ):
            report: dict[str, Any] = await answer.json()
            return report
    finally:
        await runner.cleanup()


async def test_a_worker_that_serves(worker: Worker, tmp_path: Path) -> None:
    """It is alive and ready, and reports itself, on no port that a client could reach."""
    async with aiohttp.ClientSession() as http:
        async with http.get(worker.url + "/healthz") as answer:
            assert answer.status == 200
        async with http.get(worker.url + "/readyz") as answer:
            assert answer.status == 200
        async with http.get(worker.url + INTERNAL_PATH) as answer:
            assert answer.status == 404
    report = await _of_the_supervisor(worker, tmp_path / "worker.sock")
    assert report["pid"] == os.getpid()
    assert (report["streams"], report["waiting"], report["draining"]) == (0, 0, False)
    assert [upstream["name"] for upstream in report["upstreams"]] == ["default"]


async def test_a_worker_that_drains(worker: Worker) -> None:
    """It is alive and not ready: load balancers go elsewhere, and nobody restarts it."""
    worker.state.draining = True
    async with aiohttp.ClientSession() as http:
        async with http.get(worker.url + "/healthz") as answer:
            assert answer.status == 200
        async with http.get(worker.url + "/readyz") as answer:
            assert answer.status == 503
