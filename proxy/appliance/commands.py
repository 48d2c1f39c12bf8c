"""How the supervisor calls its children."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

# The very same package for the children, whatever lies in the present folder: `-m` alone would
# take a folder called `proxy` there for it.
_PACKAGE_PARENT = str(Path(__file__).parents[2])
_PYTHON = (sys.executable, "-P", "-m", "proxy")


DRAIN, HURRY = signal.SIGUSR1, signal.SIGUSR2
"""To a worker: end in order; say so in the streams and end at once. Not SIGTERM, which systemd
sends to all processes of a service at once, and of which workers take no notice here."""


def worker(socket: Path, index: int, workers: int) -> list[str]:
    """The command of a worker."""
    place = ("--index", str(index), "--workers", str(workers))
    return [*_PYTHON, "worker", "--unix", str(socket), *place, "--behind-nginx"]


def demo(port: int) -> list[str]:
    """The command of the embedded demo upstream."""
    return [*_PYTHON, "demo", "--host", "127.0.0.1", "--port", str(port)]


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: the supervisor's own, and what it adds."""
    path = os.pathsep.join(filter(None, (_PACKAGE_PARENT, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}
