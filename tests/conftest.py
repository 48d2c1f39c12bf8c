"""What every test gets without asking: no blocking call in the event loop, and cheap starts."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# A shell starts what it puts into the background with SIGINT ignored, and a child inherits that:
# without this, every test that ends a program by SIGINT fails under `make test &`.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests start hundreds of Pythons: without bytecode on disk each compiles all that it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# aiohttp at its import and every client of an SDK read the machine's whole list of authorities,
# for 50 ms each. Tests connect to this machine alone: one authority that signs nothing will do.
_AUTHORITY = Path(__file__).with_name("fixtures") / "authority.pem"
os.environ["SSL_CERT_FILE"] = str(_AUTHORITY)
os.environ.pop("SSL_CERT_DIR", None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, then leave what was collected out of its sight.

    Thousands of tests and the modules they import stay to the end. The collector would walk
    through all of them again and again: for half of the time that collecting takes, and later
    whenever a test makes it look at everything.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def _blockbuster() -> Iterator[BlockBuster]:
    """Makes a call in `proxy` that would block the running event loop raise."""
    guard = BlockBuster("proxy")
    guard.activate()
    yield guard
    guard.deactivate()


@pytest.fixture(autouse=True)
def _no_blocking_calls(request: pytest.FixtureRequest, _blockbuster: BlockBuster) -> Iterator[None]:
    """No blocking call, but in tests that say they may.

    Put in place once: that takes as long as a small test.
    """
    with contextlib.ExitStack() as stack:
        if "no_blockbuster" in request.keywords:
            _blockbuster.deactivate()
            stack.callback(_blockbuster.activate)
        yield
