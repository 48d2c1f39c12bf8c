"""The docker command line, as far as the tests of the image and of a fresh machine need it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# What this machine's containers need to reach a registry: a network, a CA, a proxy.
RUN_FLAGS = shlex.split(os.environ.get("DOCKER_RUN_FLAGS", ""))


def docker(*arguments: str, seconds: float = 60) -> str:
    """Run one docker command and return what it printed; fail with its own words.

    Raises RuntimeError if it fails and subprocess.TimeoutExpired after `seconds`.
    """
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        raise RuntimeError(f"docker {shlex.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def wait_until(ask: Callable[[], T], what: str, seconds: float = 30) -> T:
    """The first true answer of `ask`, asked again and again until the deadline.

    Raises TimeoutError, which names `what` was waited for.
    """
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.1)
    return answer


@dataclass(frozen=True)
class Container:
    """One running container, known by its name."""

    name: str

    @classmethod
    def start(cls, *flags_image_and_command: str) -> Container:
        """Start a container in the background, under a name that nobody else has."""
        name = f"sluice-test-{uuid.uuid4().hex[:12]}"
        docker("create", "--name", name, *flags_image_and_command)
        container = cls(name)
        try:
            docker("start", name)
        except RuntimeError:
            container.remove()
            raise
        return container

    def run(self, command: str, *flags: str, seconds: float = 60) -> str:
        """Run a line of bash in it, with flags of `docker exec`, and return what it printed."""
        return docker("exec", *flags, self.name, "bash", "-c", command, seconds=seconds)

    def state(self) -> dict[str, Any]:
        """What the engine says of it: Status, ExitCode, Health and more."""
        state: dict[str, Any] = json.loads(docker("inspect", "-f", "{{json .State}}", self.name))
        return state

    def url(self, port: int) -> str:
        """Where a published port can be reached from here."""
        return "http://" + docker("port", self.name, str(port)).splitlines()[0]

    def processes(self) -> list[tuple[int, str]]:
        """Its processes, by their ids outside of it and their command lines."""
        rows = docker("top", self.name, "-eo", "pid,args").splitlines()[1:]
        return [(int(pid), args) for pid, args in (row.split(None, 1) for row in rows)]

    def logs(self) -> str:
        """Everything that it has written, to stdout and to stderr."""
        return subprocess.run(
            ["docker", "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    def remove(self) -> None:
        """End it at once and forget it."""
        docker("rm", "--force", "--volumes", self.name)
