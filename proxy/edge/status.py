"""Alive, ready, and what a worker tells its supervisor."""

from __future__ import annotations

import os

from aiohttp import web

from proxy.edge.gateway import GATEWAY

INTERNAL_PATH = "/internal/status"
"""Asked by the supervisor on the worker's own socket; nginx does not pass it on."""


async def alive(_request: web.Request) -> web.Response:
    """The process answers."""
    return web.json_response({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    """New streams are welcome; 503 once the worker drains."""
    if request.app[GATEWAY].draining:
        return web.json_response({"status": "draining"}, status=503)
    return web.json_response({"status": "ready"})


async def internal(request: web.Request) -> web.Response:
    """This worker's share of `/status`."""
    gateway = request.app[GATEWAY]
    return web.json_response(
        {
            "pid": os.getpid(),
            "draining": gateway.draining,
            "streams": gateway.admission.taken,
            "waiting": gateway.admission.waiting,
            "upstreams": gateway.upstreams.status(),
        }
    )
