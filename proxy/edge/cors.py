"""CORS for a worker that runs alone; behind nginx, nginx does CORS.

aiohttp-cors decides. The router adapter here applies one configuration to the whole application,
so that every route, method and error has the same CORS headers (Fetch standard, 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp_cors
from aiohttp import hdrs, web
from aiohttp_cors.abc import AbstractRouterAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

EXPOSED = (
    "X-Request-ID",
    "X-Upstream-Request-ID",
    "Retry-After",
    "Server-Timing",
    "Location",
    "Sluice-Stream-Id",
    "Sluice-Ended-By",
    "Preference-Applied",
    "anthropic-request-id",
    "openai-processing-ms",
    "request-id",
    *(
        f"x-ratelimit-{what}-{of}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
    *(
        f"anthropic-ratelimit-{of}-{what}"
        for of in ("requests", "tokens")
        for what in ("limit", "remaining", "reset")
    ),
)
_PREFLIGHT_AGE_SECONDS = 86_400
_TIMING = "Timing-Allow-Origin"


def is_preflight(request: web.Request) -> bool:
    """Whether this is a CORS preflight; any other OPTIONS is relayed."""
    return (
        request.method == hdrs.METH_OPTIONS
        and hdrs.ORIGIN in request.headers
        and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
    )


class _WholeApplication(AbstractRouterAdapter):
    """Every request is CORS-enabled, with the same options."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self.preflight: Handler | None = None

    def add_preflight_handler(
        self,
        routing_entity: object,  # noqa: ARG002 one answer for all routes
        handler: Handler,
        webview: bool = False,  # noqa: ARG002, FBT001, FBT002 the library's signature
    ) -> None:
        self.preflight = handler

    def is_preflight_request(self, request: web.Request) -> bool:
        return is_preflight(request)

    def is_cors_enabled_on_request(self, _request: web.Request) -> bool:
        return True

    def set_config_for_routing_entity(self, _entity: object, _config: object) -> None:
        """Do nothing: there is one configuration for all routes."""

    async def get_preflight_request_config(
        self, _request: web.Request, _origin: str, _method: str
    ) -> Mapping[str, Any]:
        return self._options

    def get_non_preflight_request_config(self, _request: web.Request) -> Mapping[str, Any]:
        return self._options


def install(app: web.Application, origins: tuple[str, ...], *, credentials: bool = False) -> None:
    """Allow pages of these origins (`*`: of any) to call the application and read responses."""
    if not origins:
        return
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_credentials=credentials,
        allow_headers="*",
        expose_headers=EXPOSED,
        max_age=_PREFLIGHT_AGE_SECONDS,
    )
    adapter = _WholeApplication(dict.fromkeys(origins, options))
    aiohttp_cors.CorsConfig(app, router_adapter=adapter).add(app)
    app.on_response_prepare.append(_vary)
    app.on_response_prepare.append(_timing)

    @web.middleware
    async def preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
        if adapter.preflight is None or not is_preflight(request):
            return await handler(request)
        return await adapter.preflight(request)

    app.middlewares.append(preflight)


async def _vary(_request: web.Request, response: web.StreamResponse) -> None:
    """Add `Vary: Origin`, so that no cache serves one origin's response to another."""
    if "origin" not in response.headers.get(hdrs.VARY, "").lower():
        response.headers.add(hdrs.VARY, hdrs.ORIGIN)


async def _timing(_request: web.Request, response: web.StreamResponse) -> None:
    """Allow origins that may read the response to read `Server-Timing` (Resource Timing, 4.5.1)."""
    response.headers.popall(_TIMING, None)
    if allowed := response.headers.get(hdrs.ACCESS_CONTROL_ALLOW_ORIGIN):
        response.headers[_TIMING] = allowed
