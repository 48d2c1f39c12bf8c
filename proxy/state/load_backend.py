"""Imports `proxy.state.backend` when a store is first needed; `proxy.state.error_map` says why."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.state.backend import Backend
    from proxy.store_address import StoreAddress


async def load_backend(address: StoreAddress, connections: int) -> Backend:
    """Import the backend in a thread, so that running streams do not stall, and build it."""
    backend = await asyncio.to_thread(import_module, "proxy.state.backend")
    opened: Backend = backend.backend_for(address, connections)
    return opened
