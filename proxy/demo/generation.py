"""The routes that generate: from a request's body to a reply in its family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.demo.families import gemini as gemini_family
from proxy.demo.families import messages
from proxy.demo.families.embeddings import embeddings
from proxy.demo.families.family import ANTHROPIC, GEMINI, OPENAI, Family
from proxy.demo.grammar import PRESETS, split_model, words_in, words_of
from proxy.demo.reply import Reply, answer, generated, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from proxy.demo.answering import Turn


def of(family: Family) -> Callable[[Turn], Awaitable[Reply]]:
    """Make the answerer of a family's own route."""

    async def answerer(turn: Turn) -> Reply:
        return generate(turn, family, await turn.json())

    return answerer


async def gemini(turn: Turn) -> Reply:
    """Answer Gemini's routes, where path and query say what other families say in the body."""
    model, _, method = turn.request.match_info["target"].rpartition(":")
    body = {**await turn.json(), "model": model}
    if method == "countTokens":
        _listen(turn, body)
        said = {"totalTokens": gemini_family.count_tokens(body, turn.plan)}
        return turn.settle() or answer(turn.plan, GEMINI, turn.caller, said)
    if method not in ("generateContent", "streamGenerateContent"):
        message = f"The demo upstream does not know the method '{method}'."
        return refusal(turn.plan, GEMINI, turn.caller, 404, message)
    body["stream"] = method == "streamGenerateContent"
    body["array"] = body["stream"] and turn.request.query.get("alt") != "sse"
    return generate(turn, gemini_family.GEMINI_NATIVE, body)


async def counted_messages(turn: Turn) -> Reply:
    """Answer Anthropic's count_tokens."""
    body = await turn.json()
    _listen(turn, body)
    said = {"input_tokens": messages.count_tokens(body, turn.plan)}
    return turn.settle() or answer(turn.plan, ANTHROPIC, turn.caller, said)


async def embedded(turn: Turn) -> Reply:
    """Answer OpenAI's embeddings."""
    body = await turn.json()
    _listen(turn, body)
    said = embeddings(body, turn.plan)
    return turn.settle() or answer(turn.plan, OPENAI, turn.caller, said)


def generate(turn: Turn, family: Family, body: Mapping[str, Any]) -> Reply:
    """Answer in a family; raises MistakeError and BadWordError."""
    turn.call.family = family.name
    _listen(turn, body)
    if refused := turn.settle():
        return refused
    ask = family.read(body, turn.plan)
    return generated(ask, family, turn.caller)


def _listen(turn: Turn, body: Mapping[str, Any]) -> None:
    """Take in what the model's name and the field `demo` say; raises BadWordError."""
    name, words = split_model(str(body.get("model", "")))
    turn.call.model = name
    turn.say([*words_in(PRESETS.get(name, "")), *words_in(words), *words_of(body.get("demo"))])
