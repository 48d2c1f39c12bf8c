"""Answers that are not streamed, as many as one core can pass on."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.measure.processes import snapshot
from bench.scenarios.scenario import Scenario, Session
from bench.upstream.pace import Pace

_PACE = Pace(1, 20, 0)
_CONNECTIONS = 32


def measure_plain(session: Session) -> dict[str, Any]:
    """Requests per second and CPU time per request.

    Where `core_busy` is well below one, the apparatus was the bottleneck and only the CPU time
    tells how fast the contestant could be.
    """
    window = 2.0 if session.quick else 8.0
    with session.gateway(_PACE) as gateway:
        session.warm_up(gateway, 20)
        arguments = ["plain", f"--pace={_PACE}", f"--connections={_CONNECTIONS}"]
        arguments += [f"--window={window}", "--warm-up=1"]
        probe = partial(snapshot, gateway.root)
        loaded = session.load(arguments, gateway, probe, window)
    figures = loaded.figures
    figures["requests_per_second"] = figures["received"] / window
    if gateway.root and figures["received"]:
        cpu = loaded.last.since(loaded.first)
        figures["cpu_us_per_request"] = cpu / 1000 / figures["received"]
        figures["core_busy"] = cpu / (loaded.last.taken - loaded.first.taken)
    return figures


PLAIN = Scenario(
    "plain",
    "JSON answers over 32 kept connections: requests per second",
    measure_plain,
    most_rounds=3,
)
