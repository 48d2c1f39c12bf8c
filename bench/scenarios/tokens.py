"""CPU time per token and delay per token, with N streams of 50 tokens/s."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.measure.processes import snapshot
from bench.scenarios.scenario import Scenario, Session
from bench.upstream.pace import Pace

_RATE = 50.0
_SETTLE = 1.0
_MARGIN = 1.0


def measure_tokens(session: Session, streams: int) -> dict[str, Any]:
    """CPU microseconds per token received, and the delay of those tokens.

    `kept_pace` is the share of the tokens due in the window that came in it: a contestant that
    falls behind has merged tokens, which makes each look cheaper than it is.
    """
    window, ramp = (2.0 if session.quick else 10.0), 1.0
    length = ramp + _SETTLE + window + _MARGIN
    pace = Pace(_RATE, int(_RATE * length), 0.02)
    with session.gateway(pace) as gateway:
        session.warm_up(gateway, streams)
        arguments = ["streams", f"--streams={streams}", f"--pace={pace}", f"--ramp={ramp}"]
        arguments += [f"--settle={_SETTLE}", f"--window={window}", "--patience=30"]
        loaded = session.load(arguments, gateway, partial(snapshot, gateway.root), length)
    figures = loaded.figures
    figures["kept_pace"] = figures["received"] / (streams * _RATE * window)
    if gateway.root and figures["received"]:
        cpu = loaded.last.since(loaded.first)
        figures["cpu_us_per_token"] = cpu / 1000 / figures["received"]
        figures["core_busy"] = cpu / (loaded.last.taken - loaded.first.taken)
    return figures


def tokens_scenario(streams: int) -> Scenario:
    """The scenario for so many streams."""
    return Scenario(
        f"tokens-{streams}",
        f"{streams} streams of {_RATE:g} tokens/s: CPU time and delay per token",
        partial(measure_tokens, streams=streams),
    )
