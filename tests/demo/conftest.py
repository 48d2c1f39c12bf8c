"""A demo upstream on a free port, fresh for each test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from proxy.demo.app import create_app, create_runner
from proxy.demo.recorded_calls import DEMO_STATE, DemoState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True)
class Demo:
    """A running demo upstream."""

    port: int
    state: DemoState
    runner: web.AppRunner

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"


async def started(app: web.Application) -> Demo:
    """Serve an application on a free port."""
    runner = create_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return Demo(site.port, app[DEMO_STATE], runner)


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """Run a demo upstream that answers without delays."""
    running = await started(create_app())
    yield running
    await running.runner.cleanup()


@pytest.fixture
async def locked_demo() -> AsyncIterator[Demo]:
    """Run a demo upstream that demands the key `sesame`."""
    running = await started(create_app(api_key="sesame", max_body_bytes=10_000))
    yield running
    await running.runner.cleanup()
