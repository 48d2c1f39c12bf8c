"""A request for a generated answer, independent of its family."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from proxy.demo.answer_text import FILL, STAMP, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.demo.plan import Plan
    from proxy.demo.tool_calls import ToolCall

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SEEDED_TIME = 1_767_225_600
_BYTES_PER_TOKEN = 4
# Far apart in the text, so that the choices of an answer differ.
_CHOICE_STRIDE = 97


class InvalidRequestError(ValueError):
    """The request is answered with 400; `param` names the invalid parameter."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One request for a generated answer."""

    plan: Plan
    model: str
    stream: bool
    prompt_tokens: int
    cap: int | None = None
    choices: int = 1
    include_usage: bool = False
    calls: tuple[ToolCall, ...] = ()
    array: bool = False
    seed: str = ""
    created: int = 0

    @property
    def asked(self) -> int:
        """The visible tokens per choice, without the request's maximum."""
        return 0 if self.calls else self.plan.tokens

    @property
    def visible(self) -> int:
        """The visible tokens per choice."""
        if self.cap is None:
            return self.asked
        return max(0, min(self.asked, self.cap - self.plan.reasoning))

    @property
    def capped(self) -> bool:
        """Whether the request's maximum ends the answer."""
        return self.visible < self.asked

    @property
    def answer_tokens(self) -> int:
        """The tokens of all choices and tool calls, without the reasoning."""
        return self.choices * self.visible + sum(len(call.pieces) for call in self.calls)

    @property
    def output_tokens(self) -> int:
        """All generated tokens."""
        return self.plan.reasoning + self.answer_tokens

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that came from a cache."""
        return min(self.plan.cached, self.prompt_tokens)

    @property
    def tells_usage(self) -> bool:
        """Whether the answer states its usage."""
        return not self.plan.has("no-usage")

    def deltas(self, choice: int = 0) -> Iterator[bytes]:
        """Yield the visible text of one choice, delta by delta."""
        if self.plan.stamp:
            return _grouped(iter([STAMP + b" "] * self.visible), self.plan.per_event)
        pieces = tokens(self.visible, start=choice * _CHOICE_STRIDE)
        return _grouped(_filled(pieces) if self.plan.has("line") else pieces, self.plan.per_event)

    def thoughts(self) -> Iterator[bytes]:
        """Yield the reasoning, delta by delta."""
        return _grouped(tokens(self.plan.reasoning, thoughts=True), self.plan.per_event)

    def text(self, choice: int = 0) -> str:
        """Return the visible text of one choice in one piece."""
        return _joined(self.deltas(choice))

    def thought(self) -> str:
        """Return the reasoning in one piece."""
        return _joined(self.thoughts())

    def ident(self, prefix: str, purpose: str = "", length: int = 29) -> str:
        """Make an id; the same seed gives the same id for the same purpose."""
        digest = hashlib.sha512(f"{self.seed}|{prefix}|{purpose}".encode()).digest()
        return prefix + "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:length])


def _grouped(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    if size == 1:
        return pieces
    return iter(lambda: b"".join(islice(pieces, size)), b"")


def _filled(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for number, token in enumerate(pieces):
        yield FILL if number == 1 else token


def _joined(pieces: Iterator[bytes]) -> str:
    # Not strict, because the placeholders are control characters.
    text: str = json.loads(b'"' + b"".join(pieces) + b'"', strict=False)
    return text


def birth(plan: Plan) -> tuple[str, int]:
    """Return the seed of an answer's ids and its creation time in Unix seconds."""
    if plan.seed:
        return plan.seed, _SEEDED_TIME
    return secrets.token_hex(8), int(time.time())


def prompt_size(plan: Plan, *pieces: Any) -> int:
    """Return the plan's number of prompt tokens, or an estimate from the prompt's text."""
    if plan.prompt is not None:
        return plan.prompt
    return max(1, sum(_text_bytes(part) for part in pieces) // _BYTES_PER_TOKEN)


def _text_bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping):
        return sum(_text_bytes(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(_text_bytes(inner) for inner in value)
    return 0


def number_in(body: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of these fields that is set; raises InvalidRequestError if not a number."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidRequestError(f"'{name}' must be a whole number, at least 1.", name)
        return value
    return None


def needed(body: Mapping[str, Any], name: str) -> Any:
    """Return a required field; raises InvalidRequestError if it is missing."""
    if body.get(name) is None:
        raise InvalidRequestError(f"Missing required parameter: '{name}'.", name)
    return body[name]
