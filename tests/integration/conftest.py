"""A demo upstream and a worker in front of it, alone or behind nginx, checked for leaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from proxy.demo.app import create_app as create_demo
from proxy.demo.app import create_runner as create_demo_runner
from proxy.demo.recorded_calls import DEMO_STATE, DemoState
from proxy.edge.app import create_runner
from proxy.edge.worker import BACKLOG
from proxy.edge.worker_state import WorkerState, open_worker_state
from proxy.settings import Settings
from tests.fixtures.ports import free_port
from tests.integration import appliances
from tests.integration.appliances import Appliance
from tests.integration.faults.gateways import Upstream
from tests.integration.nginx_instances import NginxInstances

SETTLE_SECONDS = 20.0
"""Only a failing test waits so long: a busy machine may stall for seconds."""


@dataclass(frozen=True)
class Demo:
    """A running demo upstream."""

    url: str
    state: DemoState


@dataclass(frozen=True)
class Worker:
    """A running worker: its public URL and its internal state."""

    url: str
    state: WorkerState
    server: web.Server
    nginx_log: Path | None = None
    """The log of the nginx in front of it, if there is one."""


StartWorker = Callable[..., Awaitable[Worker]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these tests on the event loop that workers use."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Time tests out by a thread: uvloop does not let a signal interrupt a hanging test."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(120, method="thread"))


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    """A demo upstream that answers at once unless a request says otherwise."""
    app = create_demo()
    runner = create_demo_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Demo(f"http://127.0.0.1:{site.port}", app[DEMO_STATE])
    await runner.cleanup()


@pytest.fixture
async def start_worker(demo: Demo) -> AsyncIterator[StartWorker]:
    """Start workers with the given settings; check for leaks afterwards."""
    async with _starting(demo) as start:
        yield start


@pytest.fixture
async def worker(start_worker: StartWorker) -> Worker:
    """A worker with the default settings."""
    return await start_worker()


@pytest.fixture(scope="session")
def nginxes() -> Iterator[NginxInstances]:
    """The nginx instances of the session, by their settings."""
    running = NginxInstances()
    yield running
    running.close()


@pytest.fixture(scope="session")
def appliance(upstream: Upstream) -> Iterator[Appliance]:
    """The appliance with several workers, in processes of its own."""
    with appliances.running(upstream) as started:
        yield started


@pytest.fixture(params=["alone", "nginx"])
async def start_front(
    request: pytest.FixtureRequest, demo: Demo, nginxes: NginxInstances
) -> AsyncIterator[StartWorker]:
    """Start a worker alone, or one behind nginx."""
    async with _starting(demo, nginxes if request.param == "nginx" else None) as start:
        yield start


@pytest.fixture(params=["fast", "plain", "nginx"])
async def start_every(
    request: pytest.FixtureRequest, demo: Demo, nginxes: NginxInstances
) -> AsyncIterator[StartWorker]:
    """Start each path through Sluice: with the fast path, without it, and behind nginx."""
    way = request.param
    front = nginxes if way == "nginx" else None
    async with _starting(demo, front, fast_path=way != "plain") as start:
        yield start


@pytest.fixture
async def front(start_front: StartWorker) -> Worker:
    """A worker alone, or one behind nginx, with the default settings."""
    return await start_front()


@asynccontextmanager
async def _starting(
    demo: Demo, nginxes: NginxInstances | None = None, **usual: Any
) -> AsyncIterator[StartWorker]:
    async with AsyncExitStack() as stack:
        started: list[Worker] = []

        async def start(**settings: Any) -> Worker:
            settings = {"upstream_url": demo.url + "/v1", **usual, **settings}
            serving = _behind(nginxes, settings) if nginxes else _alone(settings)
            started.append(await stack.enter_async_context(serving))
            return started[-1]

        yield start
        for worker in started:
            await nothing_leaked(worker.state)


@asynccontextmanager
async def _alone(settings: dict[str, Any]) -> AsyncIterator[Worker]:
    async with open_worker_state(Settings(**settings)) as state, _running(state) as runner:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Worker(f"http://127.0.0.1:{site.port}", state, _server(runner))


@asynccontextmanager
async def _behind(nginxes: NginxInstances, settings: dict[str, Any]) -> AsyncIterator[Worker]:
    nginx = await nginxes.get(settings)
    async with (
        open_worker_state(Settings(**settings), behind_nginx=True) as state,
        _running(state) as runner,
    ):
        path = nginx.run.worker_socket(0)
        path.unlink(missing_ok=True)
        await web.UnixSite(runner, path, backlog=BACKLOG).start()
        # nginx runs as nobody where the tests run as root.
        path.chmod(0o666)
        yield Worker(nginx.url, state, _server(runner), nginx_log=nginx.log)


@asynccontextmanager
async def _running(state: WorkerState) -> AsyncIterator[web.AppRunner]:
    runner = create_runner(state)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that does not decode bodies."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


@pytest.fixture(autouse=True)
async def _descriptors_stay() -> AsyncIterator[None]:
    """Check that no test leaves a descriptor open."""
    # The first free port claims a block of ports with a socket that stays open.
    free_port()
    before = _descriptors()
    yield
    await until(lambda: _descriptors() <= before + 2, "descriptors leaked")


def _server(runner: web.AppRunner) -> web.Server:
    assert runner.server is not None
    return runner.server


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def nothing_leaked(state: WorkerState) -> None:
    """Check that no slot, waiter, stream, task or upstream connection is left."""
    await until(lambda: state.admission.taken == 0, "a slot leaked")
    assert state.admission.waiting == 0, "a waiting request leaked"
    await until(lambda: not state.watchdogs, "a stream leaked")
    await until(lambda: not state.outliving, "a task leaked")
    await until(lambda: state.upstreams.connections()[0] == 0, "an upstream connection leaked")


async def until(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait until a condition is true; fail with `otherwise` after `SETTLE_SECONDS`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SETTLE_SECONDS
    while not condition():
        assert loop.time() < deadline, otherwise
        await asyncio.sleep(0.005)
