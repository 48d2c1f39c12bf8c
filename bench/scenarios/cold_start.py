"""From the command to the first answer through the contestant."""

from __future__ import annotations

import statistics
from typing import Any

from bench.scenarios.scenario import Scenario, Session
from bench.upstream.pace import Pace

_PACE = Pace(1, 1, 0)


def measure_cold_start(session: Session) -> dict[str, Any]:
    """Seconds, the median of a few starts with warm disk caches."""
    taken: list[float] = []
    for index in range(1 if session.quick else 3):
        start = Session(
            session.contestant,
            session.directory / str(index),
            session.pinned,
            session.workers,
            session.quick,
        )
        with start.gateway(_PACE) as gateway:
            taken.append(gateway.ready_seconds)
    return {"ready_seconds": statistics.median(taken)}


COLD_START = Scenario(
    "cold-start",
    "from the command to the first answer, all cores, nothing pinned",
    measure_cold_start,
    pinned=False,
    most_rounds=2,
)
