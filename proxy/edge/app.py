"""The composition root of a worker: its routes, middlewares and server options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from proxy import static_pages
from proxy.edge import (
    cors,
    event_source,
    health_routes,
    responses_route,
    selftest_route,
    streams_route,
)
from proxy.edge.downstream_response import error_response
from proxy.edge.forward import forward
from proxy.edge.playground import Playground
from proxy.edge.protocol_errors import LARGEST_FIELD_BYTES, LONGEST_TARGET_BYTES, GatewayRunner
from proxy.edge.request_context import RequestContext
from proxy.edge.resource_exhaustion import refusal_for
from proxy.edge.routes import ALWAYS_PASSED
from proxy.edge.worker_state import WORKER_STATE, WorkerState
from proxy.errors import Internal, NotFound, SluiceError
from proxy.http.aiohttp_server_internals import has_begun
from proxy.request_errors import MethodNotAllowed

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

_KEEPALIVE_SECONDS = 3660.0
"""Longer than nginx keeps its idle connections, so that nginx always closes first."""
_ALONE_KEEPALIVE_SECONDS = 75.0
"""nginx's default for clients: each idle connection occupies a file descriptor."""
_SHUTDOWN_SECONDS = 5.0
_log = structlog.get_logger()


def create_app(state: WorkerState) -> web.Application:
    """Build the application of one worker. CORS comes first: it answers preflights."""
    app = web.Application(client_max_size=state.settings.max_body_bytes)
    app[WORKER_STATE] = state
    if not state.behind_nginx:
        settings = state.settings
        cors.install(app, settings.cors_origins, credentials=settings.cors_credentials)
        if static_pages.playground_is_on(state.settings):
            Playground().add_to(app)
    app.middlewares.append(errors_are_json)
    app.router.add_get("/healthz", health_routes.alive)
    app.router.add_get("/readyz", health_routes.ready)
    app.router.add_get(health_routes.INTERNAL_PATH, health_routes.internal)
    app.router.add_get("/selftest/stream", selftest_route.stream)
    if state.settings.lame_duck_seconds:
        app.on_response_prepare.append(_last_on_its_connection_of_a_lame_duck)
    app.router.add_get("/v1/streams/{id}", streams_route.get)
    app.router.add_delete("/v1/streams/{id}", streams_route.delete)
    app.router.add_route("*", "/v1/streams/{id}", streams_route.not_allowed)
    app.router.add_route("*", "/v1/streams{tail:(?:/.*)?}", streams_route.nothing_here)
    # No HEAD: a GET asks the upstream, which costs money.
    app.router.add_get("/v1/stream", event_source.get, allow_head=False)
    app.router.add_route("*", "/v1/stream", event_source.not_allowed)
    app.router.add_route("*", "/v1/stream/{tail:.*}", streams_route.nothing_here)
    app.router.add_get("/v1/responses/{id}", responses_route.get)
    app.router.add_post("/v1/responses/{id}/cancel", responses_route.cancel)
    for prefix in (*ALWAYS_PASSED, *state.settings.paths):
        app.router.add_route("*", prefix + "/{tail:.*}", forward, expect_handler=_later)
    return app


async def _last_on_its_connection_of_a_lame_duck(
    request: web.Request, response: web.StreamResponse
) -> None:
    """Close the connection, so that the client's next request goes to another machine."""
    if request.app[WORKER_STATE].lame_duck:
        response.force_close()
        # aiohttp has already computed the Connection header.
        response.headers[hdrs.CONNECTION] = "close"


async def _later(_request: web.Request) -> None:
    """Send no `100 Continue` here: `request_body` does once there is memory for the body."""


def create_runner(state: WorkerState) -> web.AppRunner:
    """Build the server of the application.

    With `handler_cancellation` a client that disconnects cancels its handler, and with it the
    upstream request; aiohttp's default is off.
    """
    runner = GatewayRunner(
        create_app(state),
        handler_cancellation=True,
        access_log=None,
        # Bodies are relayed as they came; `prepare_call` decompresses what must be read.
        auto_decompress=False,
        keepalive_timeout=(_KEEPALIVE_SECONDS if state.behind_nginx else _ALONE_KEEPALIVE_SECONDS),
        shutdown_timeout=_SHUTDOWN_SECONDS,
        max_line_size=LONGEST_TARGET_BYTES,
        max_field_size=LARGEST_FIELD_BYTES,
    )
    if not state.behind_nginx:
        runner.head_seconds = state.settings.header_timeout_seconds
    return runner


@web.middleware
async def errors_are_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every exception into a JSON error with a request id."""
    try:
        return await handler(request)
    except web.HTTPException as answer:
        state, context = request.app[WORKER_STATE], RequestContext.of(request)
        error = _as_error(answer, state.settings.paths)
        context.record_error(error)
        state.identify(context)
        state.telemetry.finish(context)
        response = error_response(error, context.record)
        if "Allow" in answer.headers:
            response.headers["Allow"] = answer.headers["Allow"]
        return response
    except Exception as error:  # noqa: BLE001 the outermost handler
        context = RequestContext.of(request)
        short = refusal_for(error)
        if short is not None and not has_begun(request):
            return error_response(short, context.record)
        _log.exception("request_failed", request_id=context.record.request_id)
        if has_begun(request):
            # A second response head would be read as part of the body.
            raise ConnectionResetError("The response ended prematurely.") from None
        return error_response(Internal("Sluice failed."), context.record)


def _as_error(answer: web.HTTPException, paths: tuple[str, ...]) -> SluiceError:
    if answer.status == MethodNotAllowed.fault.status:
        return MethodNotAllowed(f"{answer.reason}.")
    served = ", ".join((*ALWAYS_PASSED, *paths))
    return NotFound(
        f"{answer.reason}: relayed paths begin with one of {served}; an SDK's base URL must end "
        "in /v1."
    )
