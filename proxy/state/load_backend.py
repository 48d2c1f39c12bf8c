"""The way to a store, loaded with the first one: see `proxy.state.errors` for what that saves."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.state.backend import Backend
    from proxy.store_address import StoreAddress


async def load_backend(address: StoreAddress, connections: int) -> Backend:
    """As `backend_for`, but streams that run when a reload names a store do not wait meanwhile."""
    backend = await asyncio.to_thread(import_module, "proxy.state.backend")
    opened: Backend = backend.backend_for(address, connections)
    return opened
