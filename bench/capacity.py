"""On paper, beyond this machine: what measured costs mean for larger ones.

Every figure is plain arithmetic over a few measured costs and stated assumptions, but for the
balance between machines, which is drawn by lot with a fixed seed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.contestants.contestant import BENCH
from bench.report.figures import FIGURES, read, summary
from bench.upstream.events import Chunks

_FRAME_BYTES = 14 + 4 + 20 + 32 + 20
"""Ethernet with its check sequence, IPv4, TCP with timestamps, preamble and gap."""

_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Costs:
    """What was measured: CPU seconds per token, bytes per open stream in processes and kernel."""

    cpu_per_token: float
    process_bytes: float
    kernel_bytes: float


@dataclass(frozen=True, slots=True)
class Setting:
    """What is assumed of a machine and of its traffic."""

    cores: int = 1
    memory_per_core: float = 4 * _GIB
    rate: float = 50.0
    utilisation: float = 0.7
    memory_share: float = 0.8
    descriptors: int = 1_048_576
    ports: int = 28_232
    upstream_addresses: int = 1
    link_bits: float = 10e9
    link_share: float = 0.7


@dataclass(frozen=True, slots=True)
class Wall:
    """One limit: what it is, and how many streams it leaves."""

    name: str
    streams: int


def walls(costs: Costs, at: Setting) -> list[Wall]:
    """All limits of one machine, the nearest first."""
    per_stream = costs.process_bytes + costs.kernel_bytes
    wire_bits = (token_bytes() + _FRAME_BYTES) * 8
    found = [
        Wall("CPU", int(at.cores * at.utilisation / (costs.cpu_per_token * at.rate))),
        Wall("memory", int(at.cores * at.memory_per_core * at.memory_share / per_stream)),
        # nginx and the workers each hold two per stream, over as many processes as cores.
        Wall("descriptors", at.cores * at.descriptors // 2),
        Wall("ports to the upstream", at.ports * at.upstream_addresses),
        Wall("network", int(at.link_bits * at.link_share / (at.rate * wire_bits))),
    ]
    return sorted(found, key=lambda wall: wall.streams)


def token_bytes() -> int:
    """Bytes of one token's event, chunk coding included."""
    return len(Chunks("paced-50-500-0.02").token(0, 0))


def queueing(costs: Costs, utilisation: float) -> float:
    """Seconds that a token waits on average for the core at this utilisation.

    M/D/1 (Pollaczek-Khinchine): tokens of many streams arrive at random, each costs the same.
    """
    return utilisation * costs.cpu_per_token / (2 * (1 - utilisation))


def fullest(machines: int, streams_each: int, draws: int, seed: int = 1) -> float:
    """The fullest machine over the mean when each stream is sent to one by lot.

    The number that falls to a machine is Poisson, for which a normal does at these sizes.
    """
    lot = random.Random(seed)
    worst = sorted(
        max(lot.gauss(streams_each, math.sqrt(streams_each)) for _ in range(machines))
        for _ in range(draws)
    )
    return worst[int(draws * 0.99)] / streams_each


def costs_of(results: Mapping[str, Any], contestant: str) -> Costs | None:
    """The medians of a run; None where it did not measure them."""
    runs = results["runs"]
    cpu = summary(FIGURES["us200"], contestant, runs)
    memory = summary(FIGURES["kib"], contestant, runs)
    if cpu is None or memory is None:
        return None
    return Costs(cpu.median / 1e6, memory.median * 1024, _kernel(runs, contestant))


def _kernel(runs: Sequence[dict[str, Any]], contestant: str) -> float:
    """Kernel memory per stream is the whole machine's, load generator and upstream included."""
    found = [
        read(run["figures"], "kernel_bytes_per_stream")
        for run in runs
        if run["scenario"] == "memory" and run["contestant"] == contestant
    ]
    measured = [value for value in found if value is not None]
    # A TCP socket itself (about 2.5 KiB) is not in the buffers that the kernel reports.
    return max([0.0, *measured]) + 4 * 2560


def paper(costs: Costs, setting: Setting) -> str:
    """The whole sheet in Markdown."""
    lines = [
        _measured(costs),
        _assumed(costs, setting),
        "",
        "| | tokens/s each | streams | first wall | then | then |",
        "|---|---|---|---|---|---|",
    ]
    for rate in (setting.rate, 1.0):
        for cores in (1, 16):
            found = walls(costs, replace(setting, cores=cores, rate=rate))
            name = "one core" if cores == 1 else f"{cores} cores"
            others = " | ".join(f"{wall.name} {wall.streams:,}" for wall in found[1:3])
            first = found[0]
            row = f"| {name} | {rate:g} | {first.streams:,} | {first.name} | {others} |"
            lines.append(row)
        lines.append(_hundred(costs, replace(setting, cores=16, rate=rate)))
    return "\n".join(lines)


def _measured(costs: Costs) -> str:
    return (
        f"Measured: {costs.cpu_per_token * 1e6:.1f} µs of CPU per token,"
        f" {costs.process_bytes / 1024:.1f} KiB per open stream in processes and"
        f" {costs.kernel_bytes / 1024:.1f} KiB in the kernel; one token is {token_bytes()} bytes."
    )


def _assumed(costs: Costs, setting: Setting) -> str:
    wait = queueing(costs, setting.utilisation)
    return (
        f"Assumed: {setting.utilisation:.0%} of each core used (a token then waits"
        f" {wait * 1e6:.0f} µs for it on average, M/D/1), {setting.memory_per_core / _GIB:g} GiB"
        f" per core, of which {setting.memory_share:.0%}; {setting.descriptors:,} descriptors per"
        f" process; {setting.ports:,} ports to each upstream address, of which there are"
        f" {setting.upstream_addresses}; {setting.link_bits / 1e9:g} Gbit/s, of which"
        f" {setting.link_share:.0%}."
    )


def _hundred(costs: Costs, setting: Setting) -> str:
    """A hundred machines, less what an uneven spread costs."""
    each = walls(costs, setting)[0]
    uneven = fullest(100, each.streams, draws=1000)
    total = int(100 * each.streams / uneven)
    return (
        f"| 100 machines of 16 | {setting.rate:g} | {total:,} | {each.name} on the fullest machine"
        f" | spread by lot: fullest {uneven - 1:.1%} over the mean | |"
    )


def add_capacity(parser: argparse.ArgumentParser) -> None:
    """Declares the assumptions."""
    parser.add_argument("raw", type=Path, nargs="?", default=BENCH / "results" / "latest.json")
    parser.add_argument("--contestant", default="appliance")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--upstream-addresses", type=int, default=1)
    parser.add_argument("--link-gbit", type=float, default=10.0)


def run_capacity(told: argparse.Namespace) -> None:
    """Prints the sheet.

    Raises SystemExit when the run did not measure what it needs.
    """
    results = json.loads(told.raw.read_text(encoding="utf-8"))
    setting = Setting(
        rate=told.rate,
        upstream_addresses=told.upstream_addresses,
        link_bits=told.link_gbit * 1e9,
    )
    costs = costs_of(results, told.contestant)
    if costs is None:
        raise SystemExit(f"the run has no tokens-200 and memory of {told.contestant}")
    print(paper(costs, setting))
