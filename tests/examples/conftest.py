"""The unchanged programs of examples/, run against a worker with the demo upstream."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway

EXAMPLES = Path(__file__).parents[2] / "examples"
RUNS_SECONDS = 45


@dataclass(frozen=True)
class Ran:
    """The output and exit status of a program."""

    text: str
    error: str
    status: int


@dataclass(frozen=True)
class Program:
    """A program of examples/: its interpreter and its file."""

    name: str
    folder: Path = EXAMPLES

    @property
    def command(self) -> list[str]:
        """The command without the question."""
        interpreter = [sys.executable] if self.name.endswith(".py") else ["node"]
        return [*interpreter, str(self.folder / self.name)]

    def run(self, url: str, model: str, question: str = "Hello", **more: str) -> Ran:
        """Run it to its end."""
        process = self.start(url, model, question, **more)
        try:
            out, err = process.communicate(timeout=RUNS_SECONDS)
        finally:
            process.kill()
        return Ran(out.decode(), err.decode(), process.returncode)

    def start(
        self, url: str, model: str, question: str = "Hello", **more: str
    ) -> subprocess.Popen[bytes]:
        """Start it with the settings that its file names."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        settings = {"SLUICE_URL": url, "SLUICE_MODEL": model, "PYTHONUTF8": "1", **more}
        return subprocess.Popen(
            [*self.command, question],
            env=own | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture(scope="session")
def sluice(upstream: gateways.Upstream) -> Iterator[RunningGateway]:
    """Run a worker without retries, so that a program sees each fault of the demo."""
    with (
        gateways.worker(upstream, retries=0, eject_after_failures=1000) as gateway,
    ):
        yield gateway


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the examples with the packages for Node.js installed."""
    folder = tmp_path_factory.mktemp("node") / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
    subprocess.run(command, cwd=folder / "node", check=True, timeout=280)
    return folder / "node"
