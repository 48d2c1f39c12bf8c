"""Containers of the image under test, plain and hardened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.docker import Container, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IMAGE = os.environ.get("SLUICE_TEST_IMAGE", "sluice:dev")

PUBLISHED = ("-p", "127.0.0.1::8080", "-p", "127.0.0.1::9464")

# The run that a strict cluster asks for: nothing writable but /tmp, no right that is not needed.
HARDENED = (
    *("--read-only", "--tmpfs", "/tmp"),
    *("--user", "10001"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--memory", "256m"),
)


HEALTHY_SECONDS = 90
"""It takes five on a machine that has nothing else to do."""


def is_healthy(container: Container) -> bool:
    """Whether Docker calls it so; fails where it has ended."""
    state = container.state()
    assert state["Status"] == "running", container.logs()
    return bool(state["Health"]["Status"] == "healthy")


@pytest.fixture
def start() -> Iterator[Callable[..., Container]]:
    """Start the image with further flags and wait until Docker calls it healthy."""
    started: list[Container] = []

    def start_one(*flags: str) -> Container:
        container = Container.start(*PUBLISHED, *flags, IMAGE)
        started.append(container)

        wait_until(lambda: is_healthy(container), "healthy", seconds=HEALTHY_SECONDS)
        return container

    yield start_one
    for container in started:
        # Shown by pytest where the test failed.
        print(container.logs())  # noqa: T201
        container.remove()


@pytest.fixture
def hardened(start: Callable[..., Container]) -> Container:
    """A healthy container with two workers, run as a strict cluster would."""
    return start(*HARDENED, "-e", "SLUICE_WORKERS=2")
