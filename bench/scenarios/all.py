"""All scenarios, in the order in which they run: what each loads a contestant with, and reads."""

from __future__ import annotations

import statistics
from dataclasses import replace
from functools import partial
from typing import Any

from bench.apparatus.loading import Loaded
from bench.apparatus.running import Running
from bench.measure.processes import Memory, Snapshot, memory, snapshot, socket_memory
from bench.scenarios.scenario import Scenario, Session
from bench.upstream.pace import Pace

_TOKEN_RATE = 50.0
_MEMORY_RATE = 0.1
_OPENED_PER_SECOND = 500


def measure_tokens(session: Session, streams: int) -> dict[str, Any]:
    """CPU microseconds per token received, and the delay of those tokens.

    `kept_pace` is the share of the tokens due in the window that came in it: a contestant that
    falls behind has merged tokens, which makes each look cheaper than it is.
    """
    window, ramp, settle, margin = (2.0 if session.quick else 10.0), 1.0, 1.0, 1.0
    length = ramp + settle + window + margin
    pace = Pace(_TOKEN_RATE, int(_TOKEN_RATE * length), 0.02)
    arguments = [f"--streams={streams}", f"--ramp={ramp}", f"--settle={settle}"]
    arguments += [f"--window={window}", "--patience=30"]
    with session.warm_gateway(pace, streams) as gateway:
        loaded = _count_cpu(session, gateway, ["streams", f"--pace={pace}", *arguments], length)
    loaded.figures["kept_pace"] = loaded.figures["received"] / (streams * _TOKEN_RATE * window)
    return _with_cpu(loaded, "cpu_us_per_token", gateway)


def measure_first_token(session: Session) -> dict[str, Any]:
    """Microseconds on the way to the upstream and back, over a kept connection."""
    requests, pace = (100 if session.quick else 1000), Pace(500, 3, 0.005)
    arguments = ["first", f"--pace={pace}", f"--requests={requests}", "--warm-up=50"]
    with session.warm_gateway(pace) as gateway:
        return session.load(arguments, gateway, lambda: None, requests * 0.05).figures


def measure_plain(session: Session) -> dict[str, Any]:
    """Requests per second and CPU time per request.

    Where `core_busy` is well below one, the apparatus was the bottleneck and only the CPU time
    tells how fast the contestant could be.
    """
    window, pace = (2.0 if session.quick else 8.0), Pace(1, 20, 0)
    arguments = ["plain", f"--pace={pace}", "--connections=32", f"--window={window}", "--warm-up=1"]
    with session.warm_gateway(pace) as gateway:
        loaded = _count_cpu(session, gateway, arguments, window)
    loaded.figures["requests_per_second"] = loaded.figures["received"] / window
    return _with_cpu(loaded, "cpu_us_per_request", gateway)


def measure_memory(session: Session) -> dict[str, Any]:
    """Bytes per stream: what the process tree grew by, from warmed up to all streams open.

    By proportional set size, so that pages shared between processes count once. What the kernel
    holds in TCP buffers is the whole machine's and stands apart.
    """
    streams, settle, window = session.contestant.open_streams, 3.0, 2.0
    streams //= 10 if session.quick else 1
    ramp = streams / _OPENED_PER_SECOND + 1
    pace = Pace(_MEMORY_RATE, int((ramp + settle + window) * _MEMORY_RATE) + 2, 0.1)
    arguments = ["streams", f"--streams={streams}", f"--pace={pace}", f"--ramp={ramp}"]
    arguments += [f"--settle={settle}", f"--window={window}", "--patience=60"]
    with session.warm_gateway(pace) as gateway:
        before, kernel_before = _memory(gateway.root)
        probe = partial(_memory, gateway.root)
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


def measure_crowd(session: Session) -> dict[str, Any]:
    """Completions, and how late the tokens came against the schedule of the whole stream."""
    streams, window = (1000, 3.0) if session.quick else (10_000, 20.0)
    ramp, settle = streams / _OPENED_PER_SECOND, 2.0
    pace = Pace(1.0, int(ramp + settle + window) + 2, 0.1)
    arguments = ["streams", f"--streams={streams}", f"--pace={pace}", f"--ramp={ramp}"]
    arguments += [f"--settle={settle}", f"--window={window}", "--patience=30"]
    with session.warm_gateway(pace) as gateway:
        loaded = _count_cpu(session, gateway, arguments, pace.seconds + ramp)
    return _with_cpu(loaded, "cpu_us_per_token", gateway)


def measure_cold_start(session: Session) -> dict[str, Any]:
    """Seconds from the command to the first answer, the median of a few with warm disk caches."""
    taken: list[float] = []
    for index in range(1 if session.quick else 3):
        start = replace(session, directory=session.directory / str(index))
        with start.gateway(Pace(1, 1, 0)) as gateway:
            taken.append(gateway.ready_seconds)
    return {"ready_seconds": statistics.median(taken)}


def _count_cpu(
    session: Session, gateway: Running, arguments: list[str], seconds: float
) -> Loaded[Snapshot]:
    return session.load(arguments, gateway, partial(snapshot, gateway.root), seconds)


def _with_cpu(loaded: Loaded[Snapshot], name: str, gateway: Running) -> dict[str, Any]:
    """The load's figures with CPU time by what was received; without where there is no process."""
    figures = loaded.figures
    if gateway.root and figures["received"]:
        cpu = loaded.last.since(loaded.first)
        figures[name] = cpu / 1000 / figures["received"]
        figures["core_busy"] = cpu / (loaded.last.taken - loaded.first.taken)
    return figures


def _memory(root: int) -> tuple[Memory, int]:
    return memory(root), socket_memory()


SCENARIOS: tuple[Scenario, ...] = (
    *(Scenario(f"tokens-{n}", partial(measure_tokens, streams=n)) for n in (50, 200, 10)),
    Scenario("first-token", measure_first_token),
    Scenario("plain", measure_plain, most_rounds=3),
    Scenario("memory", measure_memory, most_rounds=2),
    Scenario("ten-thousand", measure_crowd, pinned=False, workers=2, most_rounds=2),
    Scenario("cold-start", measure_cold_start, pinned=False, most_rounds=2),
)


def scenarios_by_name(names: list[str]) -> list[Scenario]:
    """The scenarios of these names, in the order in which they run.

    Raises KeyError with the first unknown name.
    """
    known = {scenario.name for scenario in SCENARIOS}
    for name in names:
        if name not in known:
            raise KeyError(name)
    return [scenario for scenario in SCENARIOS if scenario.name in names]
