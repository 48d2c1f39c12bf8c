"""What the tests of this room get handed: the same as those of the upstreams."""

from __future__ import annotations

from tests.upstream.conftest import (
    fast,
    fast_path,
    pytest_asyncio_loop_factories,
    transport,
)

__all__ = ["fast", "fast_path", "pytest_asyncio_loop_factories", "transport"]
