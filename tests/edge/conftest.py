"""A worker with the demo upstream behind it, for the rooms that only a request can show."""

from __future__ import annotations

from tests.integration.conftest import demo, nginxes, start_front, start_worker, worker

__all__ = ["demo", "nginxes", "start_front", "start_worker", "worker"]
