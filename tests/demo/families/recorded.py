"""Streams as providers sent them, to hold the demo's own against."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from tests.fixtures.recordings import best_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.demo.events import Event
    from proxy.demo.families.family import Family


def recording(name: str) -> list[Any]:
    """Read the JSON of a provider's events: recorded, or else written to its documentation."""
    lines = best_of(name).read_text(encoding="utf-8").splitlines()
    data = [line[5:].strip() for line in lines if line.startswith("data:")]
    return [json.loads(line) for line in data if line != "[DONE]"]


def streamed(family: Family, plan: Plan | None = None, **more: Any) -> list[Event]:
    """Give a family's events."""
    asked: dict[str, Any] = {"model": "demo", "stream": True, "prompt_tokens": 9, "seed": "a"}
    return list(
        family.events(GenerationRequest(**{**asked, "plan": plan or Plan(tokens=4), **more}))
    )


def said(events: Iterable[Event]) -> list[Any]:
    """Read the JSON of events."""
    return [json.loads(event.data) for event in events if event.data != b"[DONE]"]


def order(values: Iterable[Any]) -> list[str]:
    """Give the types of events in order, repetitions taken together."""
    return [kind for kind, _ in groupby(value["type"] for value in values)]


def keys(value: Any, *path: str | int) -> set[str]:
    """Give the keys of the object at a path."""
    for step in path:
        value = value[step]
    return set(value)
