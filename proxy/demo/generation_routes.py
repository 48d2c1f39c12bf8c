"""The routes that generate answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.demo.demo_response import DemoResponse, answer, generated, refusal
from proxy.demo.families import gemini as gemini_family
from proxy.demo.families import messages
from proxy.demo.families.embeddings import embeddings
from proxy.demo.families.family import ANTHROPIC, GEMINI, OPENAI, Family
from proxy.demo.grammar import PRESETS, split_model, words_in, words_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from proxy.demo.request_handler import RequestContext


def of(family: Family) -> Callable[[RequestContext], Awaitable[DemoResponse]]:
    """Build the answerer of a family's route."""

    async def answerer(context: RequestContext) -> DemoResponse:
        return generate(context, family, await context.json())

    return answerer


async def gemini(context: RequestContext) -> DemoResponse:
    """Answer Gemini's routes, which have the model, the method and the format in the URL."""
    model, _, method = context.request.match_info["target"].rpartition(":")
    body = {**await context.json(), "model": model}
    if method == "countTokens":
        _apply_words(context, body)
        document = {"totalTokens": gemini_family.count_tokens(body, context.plan)}
        return context.fault_response() or answer(context.plan, GEMINI, context.caller, document)
    if method not in ("generateContent", "streamGenerateContent"):
        message = f"The demo upstream does not know the method '{method}'."
        return refusal(context.plan, GEMINI, context.caller, 404, message)
    body["stream"] = method == "streamGenerateContent"
    body["array"] = body["stream"] and context.request.query.get("alt") != "sse"
    return generate(context, gemini_family.GEMINI_NATIVE, body)


async def counted_messages(context: RequestContext) -> DemoResponse:
    """Answer Anthropic's count_tokens."""
    body = await context.json()
    _apply_words(context, body)
    document = {"input_tokens": messages.count_tokens(body, context.plan)}
    return context.fault_response() or answer(context.plan, ANTHROPIC, context.caller, document)


async def embedded(context: RequestContext) -> DemoResponse:
    """Answer OpenAI's embeddings."""
    body = await context.json()
    _apply_words(context, body)
    document = embeddings(body, context.plan)
    return context.fault_response() or answer(context.plan, OPENAI, context.caller, document)


def generate(context: RequestContext, family: Family, body: Mapping[str, Any]) -> DemoResponse:
    """Answer in a family; raises InvalidRequestError and BadWordError."""
    context.call.family = family.name
    _apply_words(context, body)
    if refused := context.fault_response():
        return refused
    request = family.read(body, context.plan)
    return generated(request, family, context.caller)


def _apply_words(context: RequestContext, body: Mapping[str, Any]) -> None:
    """Apply the words in the model's name and in the field `demo`; raises BadWordError."""
    name, words = split_model(str(body.get("model", "")))
    context.call.model = name
    context.apply([*words_in(PRESETS.get(name, "")), *words_in(words), *words_of(body.get("demo"))])
