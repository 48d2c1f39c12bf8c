"""Each program of examples/node, run as its file stands with its packages from npm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples import promises
from tests.examples.conftest import Program
from tests.integration.faults.gateways import RunningGateway

pytestmark = [pytest.mark.examples, pytest.mark.no_blockbuster, pytest.mark.timeout(300)]

BY_THE_STANDARD = ["fetch-chat", "openai-chat"]
PROGRAMS = [*BY_THE_STANDARD, "split-lines", "split-blocks"]


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("fault", ["split-utf8;comments", "crlf", "no-done"])
def test_a_whole_answer(sluice: RunningGateway, node_folder: Path, name: str, fault: str) -> None:
    """Its text is printed, and nothing else."""
    promises.gives_the_whole_text(Program(f"{name}.js", node_folder), sluice, fault)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("fault", ["cut=9", "cut-utf8=9", "json-error=9", "no-end"])
def test_a_cut(sluice: RunningGateway, node_folder: Path, name: str, fault: str) -> None:
    """It is told from a whole answer."""
    promises.never_shows_a_cut_as_whole(Program(f"{name}.js", node_folder), sluice, fault)


@pytest.mark.parametrize("name", BY_THE_STANDARD)
def test_busy(sluice: RunningGateway, node_folder: Path, name: str) -> None:
    """`Retry-After` is kept."""
    promises.asks_again_when_it_may(Program(f"{name}.js", node_folder), sluice, f"busy-{name}")


@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c(sluice: RunningGateway, node_folder: Path, name: str) -> None:
    """The answer stops upstream."""
    program = Program(f"{name}.js", node_folder)
    promises.stops_the_answer_when_it_is_stopped(program, sluice, f"stop-{name}")
