"""Alive, ready, and what a worker tells its supervisor."""

from __future__ import annotations

import os

from aiohttp import web

from proxy.edge.worker_state import WORKER_STATE
from proxy.meter import warnings

INTERNAL_PATH = "/internal/status"
"""Asked by the supervisor on the worker's own socket; nginx does not pass it on."""


async def alive(_request: web.Request) -> web.Response:
    """The process answers."""
    return web.json_response({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    """New streams are welcome; 503 from the signal to stop on."""
    state = request.app[WORKER_STATE]
    if state.draining or state.lame_duck:
        status = "draining" if state.draining else "lame duck"
        return web.json_response({"status": status}, status=503)
    return web.json_response({"status": "ready"})


async def internal(request: web.Request) -> web.Response:
    """This worker's share of `/status`."""
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
            "warnings": warnings.latest(),
            # Without nginx in front this is a public port.
            "keys": await state.key_report.now() if state.behind_nginx else {},
            "limits": state.limiter.status(),
        }
    )
