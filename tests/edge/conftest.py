"""A worker with the demo upstream behind it, for the rooms that only a request can show."""

from __future__ import annotations

from tests.integration.conftest import demo, start_worker, worker

__all__ = ["demo", "start_worker", "worker"]
