"""Gateways in processes of their own, each started once for all tests that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from proxy.edge.request_context import RequestContext
from tests.integration.conftest import Demo
from tests.integration.faults import gateways
from tests.integration.faults.expectations import HASTY_FIRST, HASTY_IDLE
from tests.integration.faults.gateways import RunningGateway, Upstream
from tests.integration.faults.recorder import Recorder

GATEWAY_KINDS = ("worker", "worker-plain", "nginx")
GetGateway = Callable[[str], RunningGateway]


@pytest.fixture(scope="session")
def _started(upstream: Upstream) -> Iterator[GetGateway]:
    """Start each kind of gateway when a test first uses it."""
    running: dict[str, RunningGateway] = {}
    with ExitStack() as stack:

        def get(name: str) -> RunningGateway:
            if name not in running:
                running[name] = stack.enter_context(_start(name, upstream))
            return running[name]

        yield get


def _start(name: str, upstream: Upstream) -> AbstractContextManager[RunningGateway]:
    common: dict[str, Any] = {
        "upstreams": [
            {"name": "patient", "url": f"{upstream.url}/v1", "models": ["demo*"]},
            {
                "name": HASTY_FIRST,
                "url": f"{upstream.url}/v1",
                "models": [HASTY_FIRST],
                "first_token_timeout_seconds": 0.75,
            },
            {
                "name": HASTY_IDLE,
                "url": f"{upstream.url}/v1",
                "models": [HASTY_IDLE],
                "idle_timeout_seconds": 0.5,
            },
        ],
        "retries": 0,
        "eject_after_failures": 1000,
        "eject_failure_rate": 1,
        "max_body_bytes": 1024 * 1024,
        "log_format": "json",
    }
    if name == "nginx":
        return gateways.appliance(upstream, **common)
    return gateways.worker(upstream, name=name, fast_path=name == "worker", **common)


@pytest.fixture(params=GATEWAY_KINDS)
async def gateway(
    request: pytest.FixtureRequest, _started: GetGateway
) -> AsyncIterator[RunningGateway]:
    """Each kind of gateway; afterwards no slot and no upstream connection may be in use."""
    started = _started(request.param)
    yield started
    await started.settled()


@pytest.fixture
def recorder(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recorder of the demo upstream and of every request that ends in this process."""
    started = Recorder(demo)
    end = RequestContext.record_end

    def ended(context: RequestContext) -> None:
        end(context)
        started.contexts.append(context)

    monkeypatch.setattr(RequestContext, "record_end", ended)
    return started
