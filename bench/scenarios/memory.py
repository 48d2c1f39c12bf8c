"""Memory per open stream, with thousands of streams that hardly say anything."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.measure.processes import memory, socket_memory
from bench.scenarios.scenario import Scenario, Session
from bench.upstream.pace import Pace

_TOKENS_PER_SECOND = 0.1
_OPENED_PER_SECOND = 500
_SETTLE = 3.0
_WINDOW = 2.0


def measure_memory(session: Session) -> dict[str, Any]:
    """Bytes per stream: what the process tree grew by, from warmed up to all streams open.

    By proportional set size, so that pages shared between processes count once. What the kernel
    holds in TCP buffers is the whole machine's and stands apart.
    """
    streams = session.contestant.open_streams // (10 if session.quick else 1)
    ramp = streams / _OPENED_PER_SECOND + 1
    tokens = int((ramp + _SETTLE + _WINDOW) * _TOKENS_PER_SECOND) + 2
    pace = Pace(_TOKENS_PER_SECOND, tokens, 0.1)
    with session.gateway(pace) as gateway:
        session.warm_up(gateway, 20)
        before, kernel_before = memory(gateway.root), socket_memory()
        arguments = ["streams", f"--streams={streams}", f"--pace={pace}", f"--ramp={ramp}"]
        arguments += [f"--settle={_SETTLE}", f"--window={_WINDOW}", "--patience=60"]
        probe = partial(_probe, gateway.root)
        loaded = session.load(arguments, gateway, probe, pace.seconds + ramp)
    after, kernel = loaded.last
    return {
        "streams": streams,
        "endings": loaded.figures["endings"],
        "before_bytes": before.proportional,
        "open_bytes": after.proportional,
        "bytes_per_stream": (after.proportional - before.proportional) / streams,
        "resident_bytes_per_stream": (after.resident - before.resident) / streams,
        "kernel_bytes_per_stream": (kernel - kernel_before) / streams,
    }


def _probe(root: int) -> tuple[Any, int]:
    return memory(root), socket_memory()


MEMORY = Scenario(
    "memory",
    "thousands of open streams, one token in 10 s each",
    measure_memory,
    most_rounds=2,
)
