from __future__ import annotations

import subprocess
import sys

from proxy.state.backend import PoolBackend
from proxy.state.load_backend import load_backend
from proxy.store_address import parse

LOADED = """
import sys
import proxy.edge.worker
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_worker_without_a_store_does_not_load_redis() -> None:
    """Nor, by way of it, OpenTelemetry: a fifth of its memory, and a third of its start."""
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "aiohttp" in loaded
    assert {"redis", "opentelemetry"} & set(loaded) == set()


async def test_it_is_loaded_with_the_first_store() -> None:
    """Nothing is connected by that."""
    assert isinstance(await load_backend(parse("redis://127.0.0.1:9"), 2), PoolBackend)
