"""Workers on one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fixtures.stores import StoreServer, store_server
from tests.integration.conftest import demo, start_front, start_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["demo", "start_front", "start_worker"]


@pytest.fixture(scope="session")
def store() -> Iterator[StoreServer]:
    """A store for all tests that leave it as it was."""
    with store_server() as server:
        yield server


@pytest.fixture
def own_store() -> Iterator[StoreServer]:
    """One to be killed, frozen and filled."""
    with store_server() as server:
        yield server
