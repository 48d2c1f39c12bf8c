"""Each program of examples/node, run as its file stands with its packages from npm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.cutting_proxy import CuttingProxy
from tests.examples import promises
from tests.examples.conftest import Program
from tests.integration.faults import gateways
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


@pytest.fixture(scope="session")
def appliance() -> Iterator[RunningGateway]:
    """With a store, for what must survive."""
    with gateways.upstream() as upstream, gateways.appliance(upstream, retries=0) as gateway:
        yield gateway


def test_eventsource(appliance: RunningGateway, node_folder: Path) -> None:
    """The package's EventSource gets the whole text, and tells a cut from it."""
    asked = Program("eventsource.js", node_folder)
    promises.gives_the_whole_text(asked, appliance, "split-utf8;comments")
    promises.never_shows_a_cut_as_whole(asked, appliance, "cut=9")


def test_eventsource_comes_back(appliance: RunningGateway, node_folder: Path) -> None:
    """Its connection breaks in the middle: all of the text, once."""
    program = Program("eventsource.js", node_folder)
    model = f"demo;{promises.SAME};rate=15".replace("rate=0;", "")
    with CuttingProxy.before(appliance.url) as proxy:
        process = program.start(proxy.url, model)
        assert process.stdout is not None
        try:
            head = process.stdout.read(30)
            proxy.cut()
            text = head + process.stdout.read()
            assert process.wait(40) == 0
        finally:
            process.kill()
            process.communicate()
    assert text.decode() == promises.whole_text(program, appliance.url)
    assert proxy.cuts == 1
