"""Renders one frame of `sluice top` as lines of colored text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.appliance.top_rates import FIRSTS, Change, Spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Word = tuple[str, str]
"""A text and its style, the number of an SGR sequence (ECMA-48, 8.3.117); empty for plain."""
Line = list[Word]

PLAIN, BOLD, DIM, RED, GREEN, YELLOW, CYAN = "", "1", "2", "31", "32", "33", "36"
_BAR = 24


def frame(status: Mapping[str, Any], change: Change, *, url: str, note: str = "") -> list[Line]:
    """Build the lines, the most important first."""
    return [
        _heading(status, url),
        [(note, RED)] if note else [],
        _streams(change),
        _rates(change),
        [],
        *_times(change),
        [],
        _outcomes(change),
        [],
        *_upstreams(status, change),
        [],
        *_workers(status, change),
        [],
        *_models(change),
    ]


def drawn(
    lines: Sequence[Line],
    width: int | None = None,
    height: int | None = None,
    *,
    color: bool = False,
) -> list[str]:
    """Render lines as text, cut to `width` columns and `height` rows; None: unlimited."""
    return [_drawn(line, width, color=color) for line in lines[:height]]


def _drawn(line: Line, width: int | None, *, color: bool) -> str:
    parts, used = [], 0
    for text, style in line:
        shown = text if width is None else text[: max(0, width - used)]
        used += len(shown)
        parts.append(f"\x1b[{style}m{shown}\x1b[0m" if color and style and shown else shown)
    return "".join(parts).rstrip()


def _heading(status: Mapping[str, Any], url: str) -> Line:
    ready = status["state"] == "ready"
    return [
        (f"Sluice {status.get('version', '')} ".replace("  ", " "), BOLD),
        (f"{url}  ", PLAIN),
        (status["state"], GREEN if ready else RED),
        (f"  up {_span(status['uptime_seconds'])}", PLAIN),
        (f"  nginx {status['nginx']['version']}", DIM),
        ("  demo upstream" if status["demo"] else "", YELLOW),
    ]


def _streams(change: Change) -> Line:
    level = change.after.level
    taken, slots = level("sluice_streams_in_flight"), level("sluice_slots")
    waiting = level("sluice_requests_waiting")
    used = taken / slots if slots else 0.0
    full = round(used * _BAR)
    style = GREEN if used < 0.75 else YELLOW if used < 0.9 else RED
    return [
        (f"{taken:.0f}", BOLD),
        (" in flight  ", PLAIN),
        (f"{waiting:.0f}", YELLOW if waiting else BOLD),
        (f" waiting  of {slots:.0f} slots  [", PLAIN),
        ("#" * full, style),
        (f"{' ' * (_BAR - full)}] {used:.0%}", PLAIN),
    ]


def _rates(change: Change) -> Line:
    failed, shed = change.failed_share(), change.shed_share()
    cost = 3600 * change.per_second("sluice_cost_usd_total")
    return [
        (f"{change.per_second('sluice_requests_total'):.1f}", BOLD),
        (" requests/s  ", PLAIN),
        _share(failed),
        (" failed  ", PLAIN),
        _share(shed),
        (" shed  ", PLAIN),
        (f"{change.per_second('sluice_token_events_total'):.0f}", BOLD),
        (" tokens/s  ", PLAIN),
        (_bytes(change.per_second("sluice_bytes_total", direction="out")), BOLD),
        ("/s out  ", PLAIN),
        (f"${cost:.2f}", BOLD),
        ("/hour", PLAIN),
    ]


def _share(share: float | None) -> Word:
    """Render a share that should be small."""
    if share is None:
        return "-", BOLD
    return f"{share:.1%}", BOLD if not share else YELLOW if share < 0.05 else RED


def _times(change: Change) -> Iterator[Line]:
    yield [(f"{'':24}{'p50':>10}{'p95':>10}", DIM)]
    spreads = {title: change.spread(name) for title, name in FIRSTS.items()}
    spreads["wait for a slot"] = change.spread("sluice_queue_wait_seconds")
    spreads["longest stall"] = change.spread("sluice_max_token_gap_seconds")
    overhead = "sluice_overhead_seconds"
    spreads["added before the call"] = change.spread(overhead, phase="before")
    spreads["added to the first byte"] = change.spread(overhead, phase="first_byte")
    for title, spread in spreads.items():
        yield [(f"{title:24}", PLAIN), (_pair(spread), BOLD)]
    rate = change.spread("sluice_output_tokens_per_second")
    yield [
        (f"{'tokens/s of a stream':24}", PLAIN),
        (f"{_number(rate.p50):>10}", BOLD),
        (f"{_number(rate.p5):>10} for the slowest 5 %", PLAIN),
    ]


def _outcomes(change: Change) -> Line:
    line: Line = [("ended by  ", DIM)]
    for outcome, rate in change.per_second_by("sluice_requests_total", "ended_by").items():
        style = {"complete": GREEN, "client_left": CYAN, "rejected": DIM}.get(outcome, RED)
        line += [(outcome, style), (f" {rate:.1f}/s  ", PLAIN)]
    return line if len(line) > 1 else [*line, ("no requests ended", DIM)]


def _upstreams(status: Mapping[str, Any], change: Change) -> Iterator[Line]:
    head = f"{'UPSTREAM':24}{'state':12}{'streams':>8}{'req/s':>8}{'first byte p50':>17}{'p95':>10}"
    yield [(head, DIM)]
    rates = change.per_second_by("sluice_requests_total", "upstream")
    for name, upstream in status["upstreams"].items():
        states = upstream["states"]
        spread = change.spread(FIRSTS["first byte"], upstream=name)
        yield [
            (f"{name[:23]:24}", BOLD),
            (f"{_states(states):12}", GREEN if set(states) == {"up"} else RED),
            (f"{upstream['streams']:>8}{rates.get(name, 0.0):>8.1f}", PLAIN),
            (f"{_seconds(spread.p50):>17}{_seconds(spread.p95):>10}", PLAIN),
            (_trouble(upstream), YELLOW),
        ]


def _states(states: Mapping[str, int]) -> str:
    """Render the state, or the number of workers per state."""
    if len(states) == 1:
        return next(iter(states))
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _trouble(upstream: Mapping[str, Any]) -> str:
    if upstream["back_in_seconds"]:
        return f"  back in {upstream['back_in_seconds']:.0f} s"
    if upstream["benched_for_seconds"]:
        return f"  asked for {upstream['benched_for_seconds']:.0f} s of rest"
    if upstream["failures_in_a_row"]:
        return f"  {upstream['failures_in_a_row']} failed in a row"
    return ""


def _workers(status: Mapping[str, Any], change: Change) -> Iterator[Line]:
    cores = change.per_second("sluice_worker_cpu_seconds_total")
    lag = max(change.after.samples.get("sluice_event_loop_lag_seconds", {}).values(), default=0.0)
    yield [
        (f"{'WORKER':24}{'state':12}{'streams':>8}{'waiting':>8}{'restarts':>10}", DIM),
        (f"   CPU {cores:.2f} cores, loop lag {_seconds(lag)}", PLAIN),
    ]
    for worker in status["workers"]:
        ready = worker["state"] == "ready" and not worker.get("draining")
        name = f"{worker['index']} (pid {worker['pid']})" if worker["pid"] else str(worker["index"])
        yield [
            (f"{name:24}", BOLD),
            (
                f"{'draining' if worker.get('draining') else worker['state']:12}",
                GREEN if ready else RED,
            ),
            (f"{worker.get('streams', '-'):>8}{worker.get('waiting', '-'):>8}", PLAIN),
            (f"{worker['restarts']:>10}", YELLOW if worker["restarts"] else PLAIN),
        ]


def _models(change: Change) -> Iterator[Line]:
    yield [(f"{'MODEL':36}{'req/s':>8}{'first token p50':>17}{'p95':>10}{'tokens/s':>10}", DIM)]
    for model in change.models():
        first = model.first_token
        yield [
            (f"{model.name[:35] or '(none)':36}", BOLD),
            (f"{model.per_second:>8.1f}", PLAIN),
            (f"{_seconds(first.p50):>17}{_seconds(first.p95):>10}", PLAIN),
            (f"{_number(model.tokens_per_second):>10}", PLAIN),
        ]


def _pair(spread: Spread) -> str:
    return f"{_seconds(spread.p50):>10}{_seconds(spread.p95):>10}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 0.1:
        return f"{value * 1000:.1f} ms"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _span(seconds: float) -> str:
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86_400)
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60:02} min" if hours else f"{minutes} min {seconds % 60:02.0f} s"
