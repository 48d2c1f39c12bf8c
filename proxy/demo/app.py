"""The demo upstream: a believable LLM API that misbehaves on request.

It speaks OpenAI chat completions, responses, legacy completions, embeddings and transcriptions,
Anthropic messages, and Gemini's generateContent, streaming and not. How fast, how long and how
broken an answer is, the request itself says: see `proxy.demo.grammar`,
`proxy.demo.words.SETTINGS` and `proxy.demo.faults.FAULTS`, or `sluice demo --faults`.

`create_app()` can be served by anything that runs an aiohttp application, but a peer that leaves
is only noticed at once where `handler_cancellation` is on, which `web.AppRunner` has off by
default. `create_runner(app)` has it on, and so has aiohttp's own `TestServer(app)`.

What happened is in `app[DEMO_STATE]` (see `proxy.demo.state`) and at `GET /demo/state`, where
`?run=NAME` shows one run and DELETE forgets everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from proxy.demo import catalogue, generation, uploads
from proxy.demo.answering import REDIRECTED, RULES, Rules, Turn, expect, handler
from proxy.demo.families.chat import CHAT
from proxy.demo.families.completions import COMPLETIONS
from proxy.demo.families.family import ANTHROPIC, GEMINI, OPENAI, Dialect
from proxy.demo.families.messages import MESSAGES
from proxy.demo.families.responses import RESPONSES
from proxy.demo.plan import Plan
from proxy.demo.reply import Reply, answer, refusal
from proxy.demo.state import DEMO_STATE, DemoState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LONGEST_LINE = 256 * 1024
# A connection that will not end must not hold up the end of the server.
_SHUTDOWN_SECONDS = 0.5
_ANY_PREFIX = "/{prefix:(?:.*/)?}"


def create_app(
    *, defaults: Plan | None = None, api_key: str = "", max_body_bytes: int = 64 * 1024**2
) -> web.Application:
    """Make the application.

    `defaults` is the plan of a request that says nothing (as fast as it can, 32 tokens, unless
    given); `api_key` is demanded of every request when it is not empty.
    """
    app = web.Application()
    app[DEMO_STATE] = DemoState()
    app[RULES] = Rules(defaults or Plan(), api_key, max_body_bytes)
    app.on_shutdown.append(_end_open_calls)
    app.router.add_route("*", "/demo/state", _state)
    app.router.add_get("/healthz", _health)
    for method, path, dialect, answerer in _routes():
        app.router.add_route(method, path, handler(dialect, answerer), expect_handler=expect)
    return app


def create_runner(app: web.Application) -> web.AppRunner:
    """Make a runner that notices peers who leave, takes large heads and hands bodies on as sent."""
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


def _routes() -> list[tuple[str, str, Dialect, Callable[[Turn], Awaitable[Reply]]]]:
    """List the routes, the particular before the general.

    OpenAI's and Anthropic's stand under any prefix, for compatible servers have odd paths.
    """
    return [
        ("POST", _ANY_PREFIX + "chat/completions", OPENAI, generation.of(CHAT)),
        ("POST", _ANY_PREFIX + "completions", OPENAI, generation.of(COMPLETIONS)),
        ("POST", _ANY_PREFIX + "responses", OPENAI, generation.of(RESPONSES)),
        ("POST", _ANY_PREFIX + "messages", ANTHROPIC, generation.of(MESSAGES)),
        ("POST", _ANY_PREFIX + "messages/count_tokens", ANTHROPIC, generation.counted_messages),
        ("POST", _ANY_PREFIX + "embeddings", OPENAI, generation.embedded),
        ("POST", _ANY_PREFIX + "audio/transcriptions", OPENAI, uploads.transcription),
        ("POST", _ANY_PREFIX + "audio/translations", OPENAI, uploads.transcription),
        ("POST", _ANY_PREFIX + "files", OPENAI, uploads.file),
        ("*", _ANY_PREFIX + "echo", OPENAI, uploads.echo),
        ("*", REDIRECTED, OPENAI, uploads.echo),
        ("POST", _ANY_PREFIX + "models/{target:.+:[A-Za-z]+}", GEMINI, generation.gemini),
        ("GET", "/v1beta/models", GEMINI, _gemini_models),
        ("GET", _ANY_PREFIX + "models", OPENAI, _models),
        ("GET", _ANY_PREFIX + "models/{model:.+}", OPENAI, _model),
        ("*", "/{rest:.*}", OPENAI, _unknown),
    ]


async def _models(turn: Turn) -> Reply:
    listed = catalogue.anthropic_models if _anthropic_asks(turn) else catalogue.openai_models
    return turn.settle() or answer(turn.plan, turn.dialect, turn.caller, listed())


async def _gemini_models(turn: Turn) -> Reply:
    return turn.settle() or answer(turn.plan, GEMINI, turn.caller, catalogue.gemini_models())


async def _model(turn: Turn) -> Reply:
    model = turn.request.match_info["model"]
    anthropic = _anthropic_asks(turn)
    if refused := turn.settle():
        return refused
    if not catalogue.known(model):
        message = f"The model '{model}' does not exist or you do not have access to it."
        return refusal(turn.plan, turn.dialect, turn.caller, 404, message, param="model")
    shape = catalogue.anthropic_model if anthropic else catalogue.openai_model
    return answer(turn.plan, turn.dialect, turn.caller, shape(model))


def _anthropic_asks(turn: Turn) -> bool:
    """Say whether the Anthropic SDK asks, which shares these paths with OpenAI's."""
    asks = "anthropic-version" in turn.request.headers
    if asks:
        turn.dialect = ANTHROPIC
    return asks


async def _unknown(turn: Turn) -> Reply:
    request = turn.request
    message = f"Invalid URL ({request.method} {request.path})"
    return turn.settle() or refusal(turn.plan, OPENAI, turn.caller, 404, message)


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
