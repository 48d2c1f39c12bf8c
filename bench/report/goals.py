"""The goals that Sluice sets itself, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.measure.figures import Summary, summarise
from bench.report.figures import FIGURES, RawRun, summary


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure of one contestant and its limit; `at_least` turns the limit round."""

    title: str
    contestant: str
    figure: str
    limit: float
    at_least: bool = False

    def reached(self, measured: float) -> bool:
        """Whether a measured value is on the right side."""
        return measured >= self.limit if self.at_least else measured <= self.limit


GOALS = (
    Goal("CPU per token over bare nginx, appliance, 50 streams", "appliance", "cpu50", 2.0),
    Goal("CPU per token over bare nginx, appliance, 200 streams", "appliance", "cpu200", 2.0),
    Goal("CPU per token over bare nginx, a worker alone, 50 streams", "worker", "cpu50", 1.2),
    Goal("CPU per token over bare nginx, a worker alone, 200 streams", "worker", "cpu200", 1.2),
    Goal("TTFT added over bare nginx, appliance, p50, ms", "appliance", "ttft50", 0.3),
    Goal("TTFT added over bare nginx, appliance, p99, ms", "appliance", "ttft99", 1.0),
    Goal("delay per token p99 over bare nginx, appliance", "appliance", "delay99x", 2.0),
    Goal("memory per open stream, appliance, KiB", "appliance", "kib", 36.0),
    Goal("10,000 streams: late at p99, appliance, ms", "appliance", "crowd", 250.0),
    Goal("cold start to ready, appliance, s", "appliance", "cold", 1.5),
)

_RPS_OVER_LITELLM = Goal(
    "plain requests/s over LiteLLM, appliance", "appliance", "rps", 10.0, at_least=True
)


def goal_rows(runs: Sequence[RawRun]) -> list[str]:
    """The goals as lines of a Markdown table; without a measurement, said so."""
    rows = [_row(goal, summary(FIGURES[goal.figure], goal.contestant, runs)) for goal in GOALS]
    return [*rows, _row(_RPS_OVER_LITELLM, _over_litellm(runs)), _completions(runs)]


def _over_litellm(runs: Sequence[RawRun]) -> Summary | None:
    rates: dict[str, dict[int, float]] = {"appliance": {}, "litellm": {}}
    for run in runs:
        rate = run["figures"].get("requests_per_second")
        if run["scenario"] == "plain" and rate and run["contestant"] in rates:
            rates[run["contestant"]][run["round"]] = rate
    other = rates["litellm"]
    return summarise([rate / other[n] for n, rate in rates["appliance"].items() if n in other])


def _completions(runs: Sequence[RawRun]) -> str:
    begun = complete = 0
    for run in runs:
        if run["scenario"] == "ten-thousand" and run["contestant"] == "appliance":
            begun += run["figures"].get("streams", 0)
            complete += run["figures"].get("endings", {}).get("complete", 0)
    if not begun:
        return "| 10,000 streams: complete, appliance | all | - | not measured |"
    word = "yes" if begun == complete else "**no**"
    return f"| 10,000 streams: complete, appliance | all | {complete:,} of {begun:,} | {word} |"


def _row(goal: Goal, found: Summary | None) -> str:
    limit = f"{'≥' if goal.at_least else '≤'} {goal.limit:g}"
    if found is None:
        return f"| {goal.title} | {limit} | - | not measured |"
    word = "yes" if goal.reached(found.median) else "**no**"
    measured = f"{found.median:,.2f} ({found.lowest:,.2f}-{found.highest:,.2f})"
    return f"| {goal.title} | {limit} | {measured} | {word} |"
