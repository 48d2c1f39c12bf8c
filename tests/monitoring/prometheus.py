"""A real Prometheus with Sluice's own configuration, in more of a hurry."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.appliance.running import wait_until
from tests.fixtures.ports import free_port
from tests.monitoring.upstreams import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

MONITORING = Path(__file__).parents[2] / "monitoring"
NEEDS_PROMETHEUS = [
    pytest.mark.monitoring,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="Prometheus is not installed (make test-monitoring)",
    ),
]
"""The marks of tests that ask one."""


@dataclass(frozen=True)
class Prometheus:
    """A running one. Times are seconds since the epoch."""

    url: str

    def ask(self, route: str, **parameters: object) -> Any:
        """The data of an answer of its HTTP API.

        Raises `AssertionError` with Prometheus's own words if it is an error.
        """
        query = urllib.parse.urlencode(parameters)
        request = urllib.request.Request(f"{self.url}/api/v1/{route}?{query}")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        assert document["status"] == "success", document
        return document["data"]

    def samples(self, expr: str, start: float, end: float, step: float = 1.0) -> list[float]:
        """All numbers that a query gives over a time."""
        result = self.ask("query_range", query=expr, start=start, end=end, step=step)["result"]
        numbers = (float(value) for series in result for _, value in series["values"])
        return [number for number in numbers if number == number]  # noqa: PLR0124 NaN is no figure

    def now(self, expr: str) -> list[float]:
        """The numbers that a query gives at this moment."""
        result = self.ask("query", query=expr)["result"]
        return [float(series["value"][1]) for series in result]


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """One that scrapes a target every two seconds and works out the project's rules."""
    document = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    hurried = {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"}
    document["global"] |= hurried
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    shutil.copytree(MONITORING / "rules", folder / "rules")
    (folder / "targets").mkdir()
    (folder / "targets" / "sluice.yml").write_text(yaml.safe_dump([{"targets": [target]}]))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: answers(port, "/-/ready"), "Prometheus")
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
