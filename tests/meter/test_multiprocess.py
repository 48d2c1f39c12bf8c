from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.meter.multiprocess import collect, content_type, forget_levels

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@contextmanager
def worker(directory: Path, number: int, how_many: int) -> Iterator[subprocess.Popen[str]]:
    """A process that counts so many requests; killed at the end."""
    command = [sys.executable, "-m", "tests.meter.counting_worker"]
    arguments = [str(directory), str(number), str(how_many)]
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def until_counted(process: subprocess.Popen[str]) -> None:
    """Wait for a worker's word that all is counted."""
    assert process.stdout
    assert process.stdout.readline() == "counted\n"


def samples(directory: Path) -> dict[tuple[str, str], float]:
    """What a scrape shows, by name and labels."""
    text = collect(str(directory)).decode()
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(directory: Path, name: str) -> float:
    """The sum over all label values."""
    return sum(value for (each, _), value in samples(directory).items() if each == name)


def is_counter(name: str) -> bool:
    """Whether a sample may only grow."""
    return name.endswith(("_total", "_count", "_sum", "_bucket"))


def test_no_counter_goes_down_and_the_sum_is_the_truth(tmp_path: Path) -> None:
    """Four workers count at once while they are scraped all along."""
    with (
        worker(tmp_path, 0, 1500) as a,
        worker(tmp_path, 1, 1500) as b,
        worker(tmp_path, 2, 1500) as c,
        worker(tmp_path, 3, 1500) as d,
    ):
        before: dict[tuple[str, str], float] = {}
        scrapes = 0
        while before.get(("sluice_requests_total", "seen"), 0) < 6000:
            now = samples(tmp_path)
            went_down = [
                key
                for key, value in before.items()
                if is_counter(key[0]) and now.get(key, 0) < value
            ]
            assert [key for key in went_down if key[1] != "seen"] == []
            seen = sum(value for (name, _), value in now.items() if name == "sluice_requests_total")
            before = now | {("sluice_requests_total", "seen"): seen}
            scrapes += 1
        for process in (a, b, c, d):
            until_counted(process)
        assert scrapes > 3
        assert total(tmp_path, "sluice_requests_total") == 6000
        assert total(tmp_path, "sluice_token_events_total") == 18000
        assert total(tmp_path, "sluice_cost_usd_total") == 1500
        assert total(tmp_path, "sluice_streams_in_flight") == 20


def test_a_killed_worker_loses_nothing_that_was_counted(tmp_path: Path) -> None:
    """The next one goes on in its files; what it had in flight is forgotten."""
    with worker(tmp_path, 0, 10) as process:
        until_counted(process)
        files = set(tmp_path.iterdir())
    assert total(tmp_path, "sluice_requests_total") == 10
    assert total(tmp_path, "sluice_streams_in_flight") == 5
    forget_levels(str(tmp_path), 0)
    assert total(tmp_path, "sluice_requests_total") == 10
    assert ("sluice_streams_in_flight", "[]") not in samples(tmp_path)
    for _ in range(2):
        with worker(tmp_path, 0, 7) as process:
            until_counted(process)
    assert total(tmp_path, "sluice_requests_total") == 24
    assert total(tmp_path, "sluice_streams_in_flight") == 5
    assert set(tmp_path.iterdir()) == files


def test_a_worker_that_has_only_begun_does_not_spoil_the_scrape(tmp_path: Path) -> None:
    """Its files are empty for a moment."""
    (tmp_path / "counter_worker-1.db").touch()
    assert collect(str(tmp_path)) == b""
    with worker(tmp_path, 0, 1) as process:
        until_counted(process)
    assert total(tmp_path, "sluice_requests_total") == 1


@pytest.mark.parametrize(
    ("accept", "kind", "ending"),
    [
        ("", "text/plain; version=0.0.4", b"\n"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text", b"# EOF\n"),
    ],
)
def test_the_format_is_the_one_asked_for(
    tmp_path: Path, accept: str, kind: str, ending: bytes
) -> None:
    """Prometheus's own text, or OpenMetrics with its end mark."""
    with worker(tmp_path, 0, 1) as process:
        until_counted(process)
    text = collect(str(tmp_path), accept)
    assert content_type(accept).startswith(kind)
    assert text.endswith(ending)
    assert (b"# EOF" in text) is (ending == b"# EOF\n")
