"""Ten thousand open streams, one token per second each, on all cores."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.measure.processes import snapshot
from bench.scenarios.scenario import Scenario, Session
from bench.upstream.pace import Pace

_RATE = 1.0
_SETTLE = 2.0
_OPENED_PER_SECOND = 500


def measure_crowd(session: Session) -> dict[str, Any]:
    """Completions, and how late the tokens came against the schedule of the whole stream."""
    streams = 1000 if session.quick else 10_000
    window = 3.0 if session.quick else 20.0
    ramp = streams / _OPENED_PER_SECOND
    pace = Pace(_RATE, int(_RATE * (ramp + _SETTLE + window)) + 2, 0.1)
    with session.gateway(pace) as gateway:
        session.warm_up(gateway, 20)
        arguments = ["streams", f"--streams={streams}", f"--pace={pace}", f"--ramp={ramp}"]
        arguments += [f"--settle={_SETTLE}", f"--window={window}", "--patience=30"]
        probe = partial(snapshot, gateway.root)
        loaded = session.load(arguments, gateway, probe, pace.seconds + ramp)
    figures = loaded.figures
    if figures["received"]:
        figures["cpu_us_per_token"] = loaded.last.since(loaded.first) / 1000 / figures["received"]
    return figures


CROWD = Scenario(
    "ten-thousand",
    "10,000 open streams of one token per second, two workers, all cores, nothing pinned",
    measure_crowd,
    pinned=False,
    workers=2,
    most_rounds=2,
)
