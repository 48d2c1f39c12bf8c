"""The grammar by which a request sets how the demo answers it.

    demo;ttft=0.2;rate=50;tokens=100;cut=5

Words are separated by `;` (or `,`), a value follows its word after `=`, and a word without a
value takes the default that its table gives. Settings (pace, length) are in
`grammar_settings.SETTINGS`, faults in `faults.FAULTS`. All of it is legal inside one URL path
segment, where Gemini has the model (RFC 3986, section 3.3). Words can be given:

- after the model's name: `"model": "demo;rate=50;cut=5"`;
- in the header `X-Demo: rate=50, cut=5`, on every route;
- in the request field `demo`: `"demo": "rate=50;cut=5"` or `"demo": {"rate": 50, "crlf": true}`.

The field takes precedence over the model, the model over the header, and the header over the
server's defaults. Any model name is accepted; those in `PRESETS` stand for settings.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.demo.faults import FAULTS
from proxy.demo.grammar_settings import SETTINGS

if TYPE_CHECKING:
    from proxy.demo.grammar_values import Value, ValueKind
    from proxy.demo.plan import Plan

# Every preset is listed by GET /v1/models.
PRESETS: dict[str, str] = {
    "demo": "",
    "demo-fast": "ttft=0;rate=0;jitter=0",
    "demo-slow": "ttft=1.5;rate=6;jitter=0.3",
    "demo-reasoning": "reasoning=40",
    "demo-tools": "tools=1",
    "demo-embedding": "",
}

Word = tuple[str, str | None]


class BadWordError(ValueError):
    """The grammar does not know the word, or its value is invalid."""


def split_model(model: str) -> tuple[str, str]:
    """Split a model into its name and the words after it."""
    name, _, words = model.partition(";")
    return name.strip(), words


def words_in(text: str) -> list[Word]:
    """Parse the words of `a=1; b, c=x`; a missing value is None."""
    words: list[Word] = []
    for piece in re.split("[;,]", text):
        word, equals, value = piece.strip().partition("=")
        if word:
            words.append((word.strip().lower(), value.strip() if equals else None))
    return words


def words_of(field: Any) -> list[Word]:
    """Parse the request field `demo`: a text in the grammar, or an object of words.

    Raises BadWordError for any other type.
    """
    if field is None:
        return []
    if isinstance(field, str):
        return words_in(field)
    if not isinstance(field, Mapping):
        raise BadWordError("The field 'demo' must be text such as 'rate=50;cut=5', or an object.")
    words: list[Word] = []
    for word, value in field.items():
        if value is True:
            words.append((str(word), None))
        elif value is not None and value is not False:
            words.append((str(word), str(value)))
    return words


def planned(plan: Plan, words: list[Word]) -> Plan:
    """Return the plan with the words applied, left to right.

    Raises BadWordError, whose message lists the known words.
    """
    for word, value in words:
        if word in SETTINGS:
            plan = _set(plan, word, value)
        elif word in FAULTS:
            fault = FAULTS[word]
            argument = fault.default if value is None else _read(word, fault.kind, value)
            plan = replace(plan, faults=_with(plan.faults, word, argument))
        else:
            raise BadWordError(_unknown(word))
    return plan


def _set(plan: Plan, word: str, text: str | None) -> Plan:
    setting = SETTINGS[word]
    value: Any = _read(word, setting.kind, text or "")
    if setting.field == "headers":
        return replace(plan, headers=(*plan.headers, str(value)))
    return replace(plan, **{setting.field: value})


def _read(word: str, kind: ValueKind, text: str) -> Value:
    try:
        return kind.read(text)
    except ValueError:
        raise BadWordError(f"'{word}={text}': {word} takes {kind.right}.") from None


def _with(faults: Mapping[str, Value], word: str, argument: Value) -> dict[str, Value]:
    others = {name: value for name, value in faults.items() if name != word}
    return others if argument is False else {**others, word: argument}


def _unknown(word: str) -> str:
    near = difflib.get_close_matches(word, [*SETTINGS, *FAULTS], n=1)
    meant = f" Did you mean '{near[0]}'?" if near else ""
    return (
        f"The demo upstream does not know the word '{word}'.{meant} "
        f"Settings: {', '.join(SETTINGS)}. Faults: {', '.join(FAULTS)}."
    )
