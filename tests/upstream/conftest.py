"""Fixtures of the upstream tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import uvloop

from proxy.upstream.transport import Transport

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run these tests on the loop that workers run on: sockets close differently on another."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=[False, True], ids=["plain", "fast"])
def fast_path(request: pytest.FixtureRequest) -> bool:
    """Run the test with and without the fast path."""
    return bool(request.param)


@pytest.fixture
async def transport(fast_path: bool) -> AsyncIterator[Transport]:
    """Open a transport; check that no connection is in use at the end."""
    async with Transport(fast_path=fast_path) as opened:
        yield opened
        assert opened.connections()[0] == 0, "a connection is still in use"


@pytest.fixture
async def fast() -> AsyncIterator[Transport]:
    """Open a transport with the fast path; check that no connection is in use at the end."""
    async with Transport() as opened:
        yield opened
        assert opened.connections()[0] == 0
