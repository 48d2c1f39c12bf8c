"""The admin port's application: metrics, health and status, for operators, not for clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from proxy.appliance import ports
from proxy.appliance.admin_guard import guard
from proxy.appliance.admin_server import AdminRunner
from proxy.appliance.status_page import StatusPage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The content type of Prometheus's text format (prometheus.io, "Exposition formats").
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class View(Protocol):
    """What the supervisor reports about itself and its processes."""

    def why_not_ready(self) -> str | None:
        """Return why new streams are not accepted; None if they are."""

    async def status(self) -> Mapping[str, object]:
        """Return the status document."""

    async def metrics(self) -> bytes:
        """Return the merged metrics of all workers in Prometheus's text format."""


class Admin:
    """The server of the admin port."""

    def __init__(self, view: View, hosts: Iterable[str] = (), token: str = "") -> None:
        self._view = view
        app = web.Application(middlewares=[guard(hosts, token)])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/status", self._status)
        StatusPage().add_to(app)
        self._runner = AdminRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, address: str, port: int) -> None:
        """Listen.

        Raises `OSError` if the port is taken.
        """
        await self._runner.setup()
        await web.SockSite(self._runner, ports.listening(address, port)).start()

    async def close(self) -> None:
        """Stop listening and close the connections."""
        await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = await self._view.metrics()
        return web.Response(body=body, headers={"Content-Type": _METRICS_TYPE})

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _request: web.Request) -> web.Response:
        reason = self._view.why_not_ready()
        if reason is not None:
            return web.json_response({"status": reason}, status=503)
        return web.json_response({"status": "ready"})

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(await self._view.status())
