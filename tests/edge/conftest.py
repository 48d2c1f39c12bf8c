"""A worker in front of the demo upstream, for modules that are tested by requests."""

from __future__ import annotations

from tests.integration.conftest import demo, nginxes, start_front, start_worker, worker

__all__ = ["demo", "nginxes", "start_front", "start_worker", "worker"]
