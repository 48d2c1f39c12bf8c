"""What every test uses: a check for blocking calls in the event loop, and fast starts."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from blockbuster import BlockBuster

from tests.integration.faults import gateways

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# A shell starts background jobs with SIGINT ignored, which child processes inherit: without this,
# every test that stops a program by SIGINT fails under `make test &`.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of interpreters; without bytecode on disk, each compiles all its imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# By default a case fails that takes 200 ms once and less the second time, as on a busy machine.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")

# aiohttp, when it is imported, and every SDK client load all of the system's CA certificates, which
# takes 50 ms each time. Tests connect to this machine only: one unused CA is enough.
_AUTHORITY = Path(__file__).with_name("fixtures") / "authority.pem"
os.environ["SSL_CERT_FILE"] = str(_AUTHORITY)
os.environ.pop("SSL_CERT_DIR", None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without the garbage collector, then exclude the collected objects from it.

    Thousands of tests and their imports live to the end of the run. Traversing them again and again
    would take half of the collection's time, and slow down every full garbage collection later.
    Full collections are rare from then on: what an SDK's import leaves costs each of them 0.1 s.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*gc.get_threshold()[:2], 100)
        gc.enable()


@pytest.fixture(scope="session")
def upstream() -> Iterator[gateways.Upstream]:
    """A demo upstream in its own process, for tests that look only at their own runs."""
    with gateways.upstream() as running:
        yield running


@pytest.fixture(scope="session")
def _blockbuster() -> Iterator[BlockBuster]:
    """Raise an error on any call in `proxy` that would block the running event loop."""
    guard = BlockBuster("proxy")
    guard.activate()
    yield guard
    guard.deactivate()


@pytest.fixture(autouse=True)
def _no_blocking_calls(request: pytest.FixtureRequest, _blockbuster: BlockBuster) -> Iterator[None]:
    """Forbid blocking calls, except in tests marked `no_blockbuster`.

    The guard is activated once per session: activating it takes as long as a small test.
    """
    with contextlib.ExitStack() as stack:
        if "no_blockbuster" in request.keywords:
            _blockbuster.deactivate()
            stack.callback(_blockbuster.activate)
        yield
