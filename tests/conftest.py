"""What every test gets without asking: no blocking call in the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """A call in `proxy` that would block the running event loop raises instead."""
    if "no_blockbuster" in request.keywords:
        yield
        return
    with blockbuster_ctx("proxy"):
        yield
