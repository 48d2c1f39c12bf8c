"""Generates the documentation of the demo's settings and faults."""

from __future__ import annotations

from proxy.demo.faults import FAULTS
from proxy.demo.grammar import PRESETS
from proxy.demo.grammar_settings import SETTINGS

_INTRODUCTION = """\
The demo upstream answers as the request tells it to. Words follow the model's name
(`demo;ttft=0.2;rate=50;cut=5`), or are given in the header `X-Demo: rate=50, cut=5`, or in the
request field `demo` (`"rate=50;cut=5"` or `{"rate": 50, "cut": 5}`). The field takes precedence
over the model, the model over the header. A word without a value takes its default. Events are
counted from the stream's first; pings and comments are not counted. An unknown word is a 400 that
lists the known ones."""


def page() -> str:
    """Return the page as Markdown."""
    lines = [_INTRODUCTION, "", *_models(), "", *_settings()]
    for stage in dict.fromkeys(fault.stage for fault in FAULTS.values()):
        lines += ["", *_faults(stage)]
    return "\n".join(lines)


def _models() -> list[str]:
    named = (f"`{name}` (`{words}`)" if words else f"`{name}`" for name, words in PRESETS.items())
    return [f"Models: {', '.join(named)}; any other name is accepted as well."]


def _settings() -> list[str]:
    rows = [
        f"| `{word}` | {setting.kind.right} | {setting.does} |"
        for word, setting in SETTINGS.items()
    ]
    return ["## Settings", "", "| word | value | what |", "|---|---|---|", *rows]


def _faults(stage: str) -> list[str]:
    rows = [
        f"| `{word}` | {fault.argument} | {fault.does} | {fault.gateway} |"
        for word, fault in FAULTS.items()
        if fault.stage == stage
    ]
    head = ["| word | argument, default | the demo | a good gateway |", "|---|---|---|---|"]
    return [f"## Faults: {stage}", "", *head, *rows]
