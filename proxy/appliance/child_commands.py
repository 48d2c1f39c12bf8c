"""The commands and the environment of the supervisor's children."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

# Children must import this very package: plain `-m proxy` would prefer a folder named `proxy` in
# the working directory.
_PACKAGE_PARENT = str(Path(__file__).parents[2])
_PYTHON = (sys.executable, "-P", "-m", "proxy")


DRAIN, HURRY = signal.SIGUSR1, signal.SIGUSR2
"""A worker's signals: drain; cut the streams with an error event and exit at once. Not SIGTERM,
which systemd sends to all processes of a service, and which these workers ignore."""


def worker(socket: Path, index: int, workers: int) -> list[str]:
    """Return the command of a worker."""
    place = ("--index", str(index), "--workers", str(workers))
    return [*_PYTHON, "worker", "--unix", str(socket), *place, "--behind-nginx"]


def demo(port: int) -> list[str]:
    """Return the command of the embedded demo upstream."""
    return [*_PYTHON, "demo", "--host", "127.0.0.1", "--port", str(port)]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: the supervisor's, with additions."""
    path = os.pathsep.join(filter(None, (_PACKAGE_PARENT, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}
