"""The worker's `/healthz`, `/readyz` and internal status routes."""

from __future__ import annotations

import os

from aiohttp import web

from proxy.edge.worker_state import WORKER_STATE
from proxy.meter import recent_warnings

INTERNAL_PATH = "/internal/status"
"""Polled by the supervisor on the worker's socket; nginx does not relay it."""


async def alive(_request: web.Request) -> web.Response:
    """Answer that the process is alive."""
    return web.json_response({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    """Answer whether new streams are accepted; 503 once the worker is told to stop."""
    state = request.app[WORKER_STATE]
    if state.draining or state.lame_duck:
        status = "draining" if state.draining else "lame duck"
        return web.json_response({"status": status}, status=503)
    return web.json_response({"status": "ready"})


async def internal(request: web.Request) -> web.Response:
    """Return this worker's part of `/status`."""
    state = request.app[WORKER_STATE]
    return web.json_response(
        {
            "pid": os.getpid(),
            "draining": state.draining,
            "streams": state.admission.taken,
            "waiting": state.admission.waiting,
            "slots": state.admission.slots,
            "upstreams": state.upstreams.status(),
            "reload": state.reload._asdict(),
            "recent": state.telemetry.recent(),
            "warnings": recent_warnings.latest(),
            # Without nginx in front, this port is public.
            "keys": await state.key_report.now() if state.behind_nginx else {},
            "limits": state.limiter.status(),
        }
    )
