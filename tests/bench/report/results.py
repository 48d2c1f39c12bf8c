"""Raw results as a run writes them down, made up."""

from __future__ import annotations

from typing import Any


def run(scenario: str, contestant: str, number: int = 0, **figures: Any) -> dict[str, Any]:
    """One turn."""
    return {
        "scenario": scenario,
        "contestant": contestant,
        "round": number,
        "figures": figures,
        "failure": "",
        "seconds": 1.0,
        "foreign_busy": 0.02,
    }


def results(runs: list[dict[str, Any]], **absent: str) -> dict[str, Any]:
    """A whole run."""
    return {
        "began": "2026-01-01 00:00",
        "command": "python -m bench run",
        "commit": "abc",
        "rounds": 2,
        "machine": {
            "processor": "P",
            "cores": 2,
            "memory_gib": 4,
            "kernel": "6",
            "system": "Debian",
            "python": "3.11",
            "descriptors": 1024,
            "somaxconn": 4096,
            "ports": "1-2",
        },
        "versions": {single_run["contestant"]: "1.0" for single_run in runs},
        "absent": absent,
        "runs": runs,
    }


CPU = [
    run("tokens-50", "nginx", 0, cpu_us_per_token=10.0),
    run("tokens-50", "appliance", 0, cpu_us_per_token=18.0),
    run("tokens-50", "nginx", 1, cpu_us_per_token=20.0),
    run("tokens-50", "appliance", 1, cpu_us_per_token=44.0),
]
