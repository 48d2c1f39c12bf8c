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

# As a strict cluster runs it: only /tmp is writable, no unneeded privileges.
HARDENED = (
    *("--read-only", "--tmpfs", "/tmp"),
    *("--user", "10001"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--memory", "256m"),
)


HEALTHY_SECONDS = 90
"""It takes five on an idle machine."""


def is_healthy(container: Container) -> bool:
    """Return whether Docker reports it as healthy; fail if it has ended."""
    state = container.state()
    assert state["Status"] == "running", container.logs()
    return bool(state["Health"]["Status"] == "healthy")


@pytest.fixture
def start() -> Iterator[Callable[..., Container]]:
    """Start the image with further flags and wait until Docker reports it as healthy."""
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
    """A healthy container with two workers, as a strict cluster runs it."""
    return start(*HARDENED, "-e", "SLUICE_WORKERS=2")
