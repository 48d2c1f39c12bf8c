"""Alive, ready, and a worker's own report."""

from __future__ import annotations

import os

import aiohttp

from proxy.edge.status import INTERNAL_PATH
from tests.integration.conftest import Worker


async def test_a_worker_that_serves(worker: Worker) -> None:
    """It is alive and ready, and reports itself."""
    async with aiohttp.ClientSession() as http:
        async with http.get(worker.url + "/healthz") as answer:
            assert answer.status == 200
        async with http.get(worker.url + "/readyz") as answer:
            assert answer.status == 200
        async with http.get(worker.url + INTERNAL_PATH) as answer:
            report = await answer.json()
    assert report["pid"] == os.getpid()
    assert (report["streams"], report["waiting"], report["draining"]) == (0, 0, False)
    assert [one["name"] for one in report["upstreams"]] == ["default"]


async def test_a_worker_that_drains(worker: Worker) -> None:
    """It is alive and not ready: load balancers go elsewhere, and nobody restarts it."""
    worker.gateway.draining = True
    async with aiohttp.ClientSession() as http:
        async with http.get(worker.url + "/healthz") as answer:
            assert answer.status == 200
        async with http.get(worker.url + "/readyz") as answer:
            assert answer.status == 503
