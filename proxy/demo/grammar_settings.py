"""The settings in the demo's grammar: all words that are not faults."""

from __future__ import annotations

from typing import NamedTuple

from proxy.demo import grammar_values
from proxy.demo.grammar_values import ValueKind


class Setting(NamedTuple):
    """One word: the field of `Plan` it sets, the kind of its value, and what it means."""

    field: str
    kind: ValueKind
    does: str


SETTINGS: dict[str, Setting] = {
    "ttft": Setting("ttft", grammar_values.SECONDS, "time from the request to the first token"),
    "open": Setting(
        "opening",
        grammar_values.SECONDS,
        "when the events before the first token (role, `message_start`) go out; with it by default",
    ),
    "rate": Setting("rate", grammar_values.NUMBER, "tokens per second; 0 is as fast as possible"),
    "jitter": Setting(
        "jitter",
        grammar_values.NUMBER,
        "how far each token may stray from its time, as a part of the gap (0.2: ±20 %)",
    ),
    "tokens": Setting("tokens", grammar_values.COUNT, "visible tokens in the answer"),
    "per-event": Setting("per_event", grammar_values.AT_LEAST_ONE, "tokens in one event"),
    "reasoning": Setting("reasoning", grammar_values.COUNT, "reasoning tokens before the answer"),
    "tools": Setting(
        "tools", grammar_values.COUNT, "answer with so many tool calls instead of text"
    ),
    "prompt": Setting(
        "prompt", grammar_values.COUNT, "prompt tokens in the usage; estimated by default"
    ),
    "cached": Setting(
        "cached", grammar_values.COUNT, "how many of the prompt tokens came from a cache"
    ),
    "stamp": Setting(
        "stamp",
        grammar_values.FLAG,
        "every token is the sender's CLOCK_MONOTONIC in nanoseconds, to measure delay with",
    ),
    "seed": Setting(
        "seed",
        grammar_values.NAME,
        "fixes ids, times and jitter: two requests that ask alike get the same bytes",
    ),
    "key": Setting(
        "key", grammar_values.NAME, "the API key to demand; any other is answered with 401"
    ),
    "run": Setting(
        "run", grammar_values.NAME, "the name under which `fail` counts; also `X-Demo-Run`"
    ),
    "fail": Setting(
        "fail",
        grammar_values.COUNT,
        "only the first so many requests of the run have the faults (503 if none is named)",
    ),
    "hang-for": Setting(
        "hang_for", grammar_values.SECONDS, "how long `hang` hangs; for ever by default"
    ),
    "retry-after": Setting(
        "retry_after",
        grammar_values.SECONDS,
        "what `Retry-After` and `retry-after-ms` say on a failure",
    ),
    "drip-pause": Setting(
        "drip_pause",
        grammar_values.SECONDS,
        "time between the pieces of one event; by default 1 ms for `split`, none for `drip`",
    ),
    "header": Setting(
        "headers", grammar_values.HEADER, "one more response header; may be said again"
    ),
}
