from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.meter.multiprocess import collect
from tests.meter import full_worker

ROOT = Path(__file__).parents[2]
# `python -c` in a process of its own, as the supervisor is one: what a scrape costs it.
_SCRAPE = """
import resource, sys, time
from proxy.meter.multiprocess import collect
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, began = peak(), time.process_time()
for _ in range(3):
    size = len(collect(sys.argv[1]))
print(size, (time.process_time() - began) / 3, (peak() - before) * 1024)
"""


class Scrape(NamedTuple):
    """What four workers left in a directory, and what one scrape of it costs."""

    directory: Path
    bytes: int
    cpu_seconds: float
    memory: int


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Scrape:
    """A hundred models, fifty keys and two upstreams, in four workers."""
    directory = tmp_path_factory.mktemp("metrics")
    command = [sys.executable, "-m", "tests.meter.full_worker", str(directory)]
    for number in range(full_worker.WORKERS):
        subprocess.run([*command, str(number)], cwd=ROOT, check=True)
    output = subprocess.run(
        [sys.executable, "-c", _SCRAPE, str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return Scrape(directory, int(output[0]), float(output[1]), int(output[2]))


def test_a_scrape_of_many_series_stays_small(scrape: Scrape) -> None:
    """Under 12,000 series, 2 MB, a second and some memory, however many workers there are."""
    assert scrape.bytes < 2_000_000
    assert scrape.cpu_seconds < 1
    assert scrape.memory < 40_000_000
    assert len(samples(scrape)) < 12_000


def test_the_cap_on_models_is_one_for_all_workers(scrape: Scrape) -> None:
    """Though each met other models first."""
    for label in ("model", "gen_ai_request_model", "gen_ai_response_model"):
        names = {labels[label] for _, labels, _ in samples(scrape) if label in labels}
        assert len(names - {"", "other"}) == full_worker.MODELS


def test_nothing_is_lost_in_fewer_series(scrape: Scrape) -> None:
    """Every request is counted by key and by model, and so is every dollar."""
    models, keys, upstreams = 2 * full_worker.MODELS, full_worker.KEYS, full_worker.UPSTREAMS
    whole = models * keys * upstreams
    few = full_worker.WORKERS
    failing = (models * few + few * keys - few * few) * upstreams
    requests = whole + failing * len(full_worker.FAILURES)
    for name in (
        "sluice_requests_total",
        "sluice_model_requests_total",
        "gen_ai_server_request_duration_seconds_count",
    ):
        assert total(scrape, name) == requests
    for name in ("sluice_cost_usd_total", "sluice_model_cost_usd_total"):
        assert total(scrape, name) == whole * 0.25


@cache
def samples(scrape: Scrape) -> list[tuple[str, dict[str, str], float]]:
    """What the scrape shows."""
    text = collect(str(scrape.directory)).decode()
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def total(scrape: Scrape, name: str) -> float:
    """The sum over all label values."""
    return sum(value for sample, _, value in samples(scrape) if sample == name)
