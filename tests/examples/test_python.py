"""Each Python example, run as its file stands."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.examples import promises
from tests.examples.conftest import EXAMPLES, Program
from tests.integration.faults.gateways import RunningGateway

pytestmark = [pytest.mark.no_blockbuster, pytest.mark.timeout(120)]

BY_THE_STANDARD = ["openai_chat", "anthropic_messages", "requests_chat", "aiohttp_chat"]
PROGRAMS = [*BY_THE_STANDARD, "split_lines", "split_blocks"]

FILES = sorted(path for kind in ("py", "js", "html") for path in EXAMPLES.glob(f"*/*.{kind}"))


def program(name: str) -> Program:
    return Program(f"python/{name}.py")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_whole_answer(sluice: RunningGateway, name: str) -> None:
    """Its text is printed, and nothing else, however oddly it comes."""
    promises.gives_the_whole_text(program(name), sluice, "split-utf8;comments;no-done")


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("fault", ["cut=9", "no-end"])
def test_a_cut(sluice: RunningGateway, name: str, fault: str) -> None:
    """It is told from a whole answer."""
    promises.never_shows_a_cut_as_whole(program(name), sluice, fault)


@pytest.mark.parametrize("name", BY_THE_STANDARD)
def test_busy(sluice: RunningGateway, name: str) -> None:
    """`Retry-After` is kept."""
    promises.asks_again_when_it_may(program(name), sluice, f"busy-{name}")


@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c(sluice: RunningGateway, name: str) -> None:
    """The answer stops upstream."""
    promises.stops_the_answer_when_it_is_stopped(program(name), sluice, f"stop-{name}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_short_enough_to_read(file: Path) -> None:
    """Less than sixty lines; eighty for what is to be copied whole."""
    lines = file.read_text().count("\n")
    assert lines < (80 if file.name.startswith("resum") else 60)


def test_the_table_names_every_file() -> None:
    """What is not in the table is not found."""
    table = (EXAMPLES / "README.md").read_text()
    assert [
        file.name for file in FILES if f"/{file.name}`" not in table and file.name != "sse.js"
    ] == []


def test_vendored_files_are_what_they_were() -> None:
    """Each has the hash that is written down beside it, and its licence."""
    vendor = EXAMPLES / "browser" / "vendor"
    lines = (vendor / "SHA256SUMS.txt").read_text().splitlines()
    hashes = {name: digest for digest, name in (line.split() for line in lines)}
    files = {path.name: path for path in vendor.iterdir() if path.name != "SHA256SUMS.txt"}
    assert hashes == {
        name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()
    }
    assert "vue.LICENSE" in files
