"""Four thousand connections in one instant."""

from __future__ import annotations

from typing import Any

from bench.scenarios.scenario import Scenario, Session
from bench.upstream.pace import Pace

_PACE = Pace(1, 3, 0)
_PATIENCE = 60.0


def measure_burst(session: Session) -> dict[str, Any]:
    """Seconds until all were connected, accepted, and had the first byte of an answer."""
    connections = 400 if session.quick else 4000
    with session.gateway(_PACE) as gateway:
        session.warm_up(gateway, 20)
        arguments = ["burst", f"--pace={_PACE}", f"--connections={connections}"]
        arguments.append(f"--patience={_PATIENCE}")
        return session.load(arguments, gateway, lambda: None, _PATIENCE).figures


BURST = Scenario(
    "burst",
    "4,000 connections in one instant, a stream on each",
    measure_burst,
    most_rounds=3,
)
