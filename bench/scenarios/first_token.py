"""What a contestant adds to the time to first token, one stream at a time."""

from __future__ import annotations

from typing import Any

from bench.scenarios.scenario import Scenario, Session
from bench.upstream.pace import Pace

_PACE = Pace(500, 3, 0.005)


def measure_first_token(session: Session) -> dict[str, Any]:
    """Microseconds on the way to the upstream and back, over a kept connection."""
    requests = 100 if session.quick else 1000
    with session.gateway(_PACE) as gateway:
        session.warm_up(gateway, 20)
        arguments = ["first", f"--pace={_PACE}", f"--requests={requests}", "--warm-up=50"]
        return session.load(arguments, gateway, lambda: None, requests * 0.05).figures


FIRST_TOKEN = Scenario(
    "first-token",
    "one stream at a time over a kept connection: time added to the first token",
    measure_first_token,
)
