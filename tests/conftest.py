"""What every test gets without asking: no blocking call in the event loop."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from blockbuster import blockbuster_ctx

if TYPE_CHECKING:
    from collections.abc import Iterator

# A shell starts what it puts into the background with SIGINT ignored, and a child inherits that:
# without this, every test that ends a program by SIGINT fails under `make test &`.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of Pythons: without bytecode on disk each compiles all that it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def _no_blocking_calls(request: pytest.FixtureRequest) -> Iterator[None]:
    """A call in `proxy` that would block the running event loop raises instead."""
    if "no_blockbuster" in request.keywords:
        yield
        return
    with blockbuster_ctx("proxy"):
        yield
