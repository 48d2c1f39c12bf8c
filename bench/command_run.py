"""`python -m bench run`: every scenario, every contestant, several rounds, one report."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.contestants.contestant import BENCH
from bench.contestants.everybody import EVERYBODY, by_name
from bench.measure.machine import machine
from bench.report.table import report
from bench.rounds import present, run_rounds
from bench.scenarios.all import SCENARIOS, scenarios_by_name

_RESULTS = BENCH / "results"


def add_run(parser: argparse.ArgumentParser) -> None:
    """Declares what may be chosen."""
    contestants = ",".join(contestant.name for contestant in EVERYBODY)
    scenarios = ",".join(scenario.name for scenario in SCENARIOS)
    parser.add_argument("--contestants", default=contestants, help=f"of {contestants}")
    parser.add_argument("--scenarios", default=scenarios, help=f"of {scenarios}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one short round, to see it work")
    parser.add_argument("--label", default="", help="file name of the results")
    parser.add_argument("--results", type=Path, default=_RESULTS)


def add_report(parser: argparse.ArgumentParser) -> None:
    """Declares which results are drawn anew."""
    parser.add_argument("raw", type=Path, help="the JSON file of a run")


def run_run(args: argparse.Namespace) -> None:
    """Runs it all; what is done so far is written after every turn.

    Raises SystemExit for an unknown name.
    """
    try:
        contestants = by_name(args.contestants.split(","))
        scenarios = scenarios_by_name(args.scenarios.split(","))
    except KeyError as error:
        raise SystemExit(f"no such contestant or scenario: {error.args[0]}") from error
    versions, absent = present(contestants)
    for name, reason in absent.items():
        print(f"{name} is absent: {reason}")
    rounds = 1 if args.quick else args.rounds
    results: dict[str, Any] = {
        "began": time.strftime("%Y-%m-%d %H:%M"),
        "command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        "commit": _commit(),
        "rounds": rounds,
        "machine": machine(),
        "versions": versions,
        "absent": absent,
        "runs": [],
    }
    args.results.mkdir(parents=True, exist_ok=True)
    label = args.label or ("quick" if args.quick else "latest")
    raw = args.results / f"{label}.json"
    there = [contestant for contestant in contestants if contestant.name in versions]
    for run in run_rounds(scenarios, there, rounds, quick=args.quick, tell=_tell):
        results["runs"].append(run.as_dict())
        write(raw, results)
    print(report(results))
    print(f"written: {raw} and its .md")


def run_report(args: argparse.Namespace) -> None:
    """Writes the table of an earlier run again."""
    results = json.loads(args.raw.read_text(encoding="utf-8"))
    write(args.raw, results)
    print(report(results))


def write(raw: Path, results: dict[str, Any]) -> None:
    """The raw results and the table, side by side; never half written."""
    texts = {".json": json.dumps(results, indent=1), ".md": report(results)}
    for suffix, text in texts.items():
        part = raw.with_suffix(f"{suffix}.part")
        part.write_text(text + ("\n" if suffix == ".json" else ""), encoding="utf-8")
        part.replace(raw.with_suffix(suffix))


def _commit() -> str:
    completed = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=BENCH.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return completed.stdout.strip() or "outside of git"


def _tell(text: str) -> None:
    print(text, flush=True)
