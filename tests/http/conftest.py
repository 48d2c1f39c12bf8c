"""Fixtures of the HTTP tests: the same as those of the upstream tests."""

from __future__ import annotations

from tests.upstream.conftest import (
    fast,
    fast_path,
    pytest_asyncio_loop_factories,
    transport,
)

__all__ = ["fast", "fast_path", "pytest_asyncio_loop_factories", "transport"]
