"""The report in Markdown: goals, tables, who was absent and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.contestants.everybody import EVERYBODY
from bench.report.figures import FIGURES, RawRun, shown, summary
from bench.report.goals import goal_rows

_TABLES = (
    ("CPU time per token, as a multiple of bare nginx", ("cpu50", "cpu200", "cpu10")),
    ("In microseconds, on this machine", ("us50", "us200")),
    (
        "Time: added to the first token over bare nginx; delay per token at 200 streams",
        ("ttft50", "ttft99", "delay50", "delay99", "delay99x"),
    ),
    ("Many: memory, 10,000 streams", ("kib", "crowd")),
    ("Plain requests, and starting", ("rps", "request", "cold")),
)


def report(results: Mapping[str, Any]) -> str:
    """The whole report, from what `python -m bench run` wrote down."""
    runs: Sequence[RawRun] = results["runs"]
    parts = [_heading(results), _goals(runs)]
    parts += [_table(title, keys, results) for title, keys in _TABLES]
    parts += [_absent(results), _failures(runs)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    system = f"{machine['memory_gib']} GiB, {machine['system']}, Linux {machine['kernel']}"
    limits = f"{machine['descriptors']} descriptors per process, somaxconn {machine['somaxconn']}"
    compared = "Ratios and differences are against bare nginx in the same round."
    lines = [
        "# What a streamed token costs",
        "",
        f"{results['began']}, {results['rounds']} interleaved rounds: median (range). {compared}",
        "",
        f"- machine: {machine['processor']}, {machine['cores']} cores, {system}",
        f"- limits: {limits}, ports {machine['ports']}; Python {machine['python']}",
        f"- command: `{results['command']}`, Sluice {results['commit']}",
        f"- others' work on the machine just before the turns: {_foreign(results['runs'])}",
    ]
    return "\n".join(lines)


def _foreign(runs: Sequence[RawRun]) -> str:
    shares = sorted(run["foreign_busy"] for run in runs)
    if not shares:
        return "unknown"
    return f"{shares[len(shares) // 2]:.1%} of a core at the median, {shares[-1]:.0%} at most"


def _goals(runs: Sequence[RawRun]) -> str:
    head = ["## Goals", "", "| figure | goal | measured | reached |", "|---|---|---|---|"]
    return "\n".join(head + goal_rows(runs))


def _table(title: str, keys: Sequence[str], results: Mapping[str, Any]) -> str:
    figures = [FIGURES[key] for key in keys]
    names = ["contestant", "version", *(figure.title for figure in figures)]
    lines = [f"## {title}", "", "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for contestant in EVERYBODY:
        cells = [shown(summary(one, contestant.name, results["runs"]), one) for one in figures]
        if any(cell != "-" for cell in cells):
            version = results["versions"].get(contestant.name, "")
            lines.append("| " + " | ".join([contestant.title, version, *cells]) + " |")
    return "\n".join(lines) if len(lines) > 4 else ""


def _absent(results: Mapping[str, Any]) -> str:
    lines = [f"- {name} was absent: {reason}." for name, reason in results["absent"].items()]
    for contestant in EVERYBODY:
        reasons: dict[str, list[str]] = {}
        for scenario, reason in contestant.skips.items():
            reasons.setdefault(reason, []).append(scenario)
        if contestant.name in results["versions"]:
            lines += [
                f"- {contestant.title} does not run {', '.join(scenarios)}: {reason}."
                for reason, scenarios in reasons.items()
            ]
    return "\n".join(["## Who did not run what, and why", "", *lines]) if lines else ""


def _failures(runs: Sequence[RawRun]) -> str:
    lines = []
    for run in runs:
        where = f"{run['contestant']}, {run['scenario']}, round {run['round'] + 1}"
        endings = dict(run["figures"].get("endings", {}))
        endings.pop("complete", None)
        endings.update(run["figures"].get("failures", {}))
        if run["failure"]:
            lines.append(f"- {where}: {run['failure']}")
        elif endings:
            lines.append(f"- {where}: {', '.join(f'{k}: {v}' for k, v in endings.items())}")
        elif run["figures"].get("kept_pace", 1) < 0.98:
            kept = run["figures"]["kept_pace"]
            lines.append(f"- {where}: fell behind, {kept:.0%} of the tokens came in their window")
    return "\n".join(["## What went wrong", "", *lines]) if lines else ""
