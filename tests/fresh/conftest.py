"""Empty Debian machines with a fresh clone of the last commit on them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docker import RUN_FLAGS, Container, docker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The first process of a container must reap orphaned processes, and bash does.
IDLE = "while :; do sleep 3600 & wait; done"

ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Start an empty Debian with git, make, Python, further packages, and a clone.

    The clone is in /home/user/sluice and belongs to the user `user`.
    """
    bundle = tmp_path / "sluice.bundle"
    subprocess.run(["git", "-C", ROOT, "bundle", "create", "-q", bundle, "HEAD"], check=True)
    started: list[Container] = []

    def start_one(image: str, *further_packages: str) -> Container:
        container = Container.start(*RUN_FLAGS, image, "bash", "-c", IDLE)
        started.append(container)
        packages = " ".join(["git", "make", "python3", "curl", *further_packages])
        container.run(
            "useradd --create-home user; apt-get update -qq && DEBIAN_FRONTEND=noninteractive"
            f" apt-get install -y -qq --no-install-recommends {packages}",
            seconds=300,
        )
        docker("cp", str(bundle), f"{container.name}:/home/user/sluice.bundle")
        container.run("chmod a+r /home/user/sluice.bundle")
        container.run(
            "cd && git clone -q sluice.bundle sluice", "-u", "user", "-e", "HOME=/home/user"
        )
        return container

    yield start_one
    for container in started:
        container.remove()
