"""The demo upstream: a realistic LLM API that misbehaves on request.

It speaks OpenAI chat completions, responses, legacy completions, embeddings and transcriptions,
Anthropic messages, and Gemini's generateContent, with and without streaming. The request sets the
answer's speed, length and faults: see `proxy.demo.grammar`,
`proxy.demo.grammar_settings.SETTINGS` and `proxy.demo.faults.FAULTS`, or `sluice demo --faults`.

Any runner of aiohttp applications can serve `create_app()`, but it notices at once that a peer has
disconnected only if `handler_cancellation` is on. It is off by default in `web.AppRunner`, and on
in `create_runner(app)` and in aiohttp's `TestServer(app)`.

Calls are recorded in `app[DEMO_STATE]` (see `proxy.demo.recorded_calls`) and shown at
`GET /demo/state`, where `?run=NAME` selects one run and DELETE forgets everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.demo import generation_routes, model_list, upload_routes
from proxy.demo.demo_response import DemoResponse, answer, refusal
from proxy.demo.families.chat import CHAT
from proxy.demo.families.completions import COMPLETIONS
from proxy.demo.families.family import ANTHROPIC, GEMINI, OPENAI, Dialect
from proxy.demo.families.messages import MESSAGES
from proxy.demo.families.responses import RESPONSES
from proxy.demo.plan import Plan
from proxy.demo.recorded_calls import DEMO_STATE, DemoState
from proxy.demo.request_handler import (
    OPTIONS,
    REDIRECTED,
    RequestContext,
    ServerOptions,
    expect,
    handler,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LONGEST_LINE = 256 * 1024
# A connection that does not end must not delay the shutdown.
_SHUTDOWN_SECONDS = 0.5
_ANY_PREFIX = "/{prefix:(?:.*/)?}"


def create_app(
    *, defaults: Plan | None = None, api_key: str = "", max_body_bytes: int = 64 * 1024**2
) -> web.Application:
    """Build the application.

    `defaults` is the plan of a request that sets nothing (unless given: 32 tokens, as fast as
    possible); `api_key`, if not empty, is required of every request.
    """
    app = web.Application()
    app[DEMO_STATE] = DemoState()
    app[OPTIONS] = ServerOptions(defaults or Plan(), api_key, max_body_bytes)
    app.on_shutdown.append(_end_open_calls)
    app.router.add_route("*", "/demo/state", _state)
    app.router.add_get("/healthz", _health)
    for method, path, dialect, answerer in _routes():
        app.router.add_route(method, path, handler(dialect, answerer), expect_handler=expect)
    return app


def create_runner(app: web.Application) -> web.AppRunner:
    """Build a runner that notices disconnects, accepts large heads, and decompresses nothing."""
    return web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        auto_decompress=False,
        max_line_size=_LONGEST_LINE,
        max_field_size=_LONGEST_LINE,
        max_headers=2_000,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )


def _routes() -> list[
    tuple[str, str, Dialect, Callable[[RequestContext], Awaitable[DemoResponse]]]
]:
    """List the routes, specific ones before general ones.

    OpenAI's and Anthropic's are served under any prefix, as compatible servers have unusual paths.
    """
    return [
        ("POST", _ANY_PREFIX + "chat/completions", OPENAI, generation_routes.of(CHAT)),
        ("POST", _ANY_PREFIX + "completions", OPENAI, generation_routes.of(COMPLETIONS)),
        ("POST", _ANY_PREFIX + "responses", OPENAI, generation_routes.of(RESPONSES)),
        ("POST", _ANY_PREFIX + "messages", ANTHROPIC, generation_routes.of(MESSAGES)),
        (
            "POST",
            _ANY_PREFIX + "messages/count_tokens",
            ANTHROPIC,
            generation_routes.counted_messages,
        ),
        ("POST", _ANY_PREFIX + "embeddings", OPENAI, generation_routes.embedded),
        ("POST", _ANY_PREFIX + "audio/transcriptions", OPENAI, upload_routes.transcription),
        ("POST", _ANY_PREFIX + "audio/translations", OPENAI, upload_routes.transcription),
        ("POST", _ANY_PREFIX + "files", OPENAI, upload_routes.file),
        ("*", _ANY_PREFIX + "echo", OPENAI, upload_routes.echo),
        ("*", REDIRECTED, OPENAI, upload_routes.echo),
        ("POST", _ANY_PREFIX + "models/{target:.+:[A-Za-z]+}", GEMINI, generation_routes.gemini),
        ("GET", "/v1beta/models", GEMINI, _gemini_models),
        ("GET", _ANY_PREFIX + "models", OPENAI, _models),
        ("GET", _ANY_PREFIX + "models/{model:.+}", OPENAI, _model),
        ("*", "/{rest:.*}", OPENAI, _unknown),
    ]


async def _models(context: RequestContext) -> DemoResponse:
    listed = model_list.anthropic_models if _anthropic_asks(context) else model_list.openai_models
    return context.fault_response() or answer(
        context.plan, context.dialect, context.caller, listed()
    )


async def _gemini_models(context: RequestContext) -> DemoResponse:
    return context.fault_response() or answer(
        context.plan, GEMINI, context.caller, model_list.gemini_models()
    )


async def _model(context: RequestContext) -> DemoResponse:
    model = context.request.match_info["model"]
    anthropic = _anthropic_asks(context)
    if refused := context.fault_response():
        return refused
    if not model_list.known(model):
        message = f"The model '{model}' does not exist or you do not have access to it."
        return refusal(context.plan, context.dialect, context.caller, 404, message, param="model")
    shape = model_list.anthropic_model if anthropic else model_list.openai_model
    return answer(context.plan, context.dialect, context.caller, shape(model))


def _anthropic_asks(context: RequestContext) -> bool:
    """Return whether the Anthropic SDK asks; it uses the same paths as OpenAI's."""
    asks = "anthropic-version" in context.request.headers
    if asks:
        context.dialect = ANTHROPIC
    return asks


async def _unknown(context: RequestContext) -> DemoResponse:
    request = context.request
    message = f"Invalid URL ({request.method} {request.path})"
    return context.fault_response() or refusal(context.plan, OPENAI, context.caller, 404, message)


async def _state(request: web.Request) -> web.Response:
    state = request.app[DEMO_STATE]
    if request.method == "DELETE":
        state.reset()
    return web.json_response(state.as_dict(request.query.get("run")))


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _end_open_calls(app: web.Application) -> None:
    for call in list(app[DEMO_STATE].open):
        if call.task is not None:
            call.task.cancel()
