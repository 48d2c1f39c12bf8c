"""Child processes: started with a clean environment, ended by their ids, never left behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.apparatus.cores import pinned_command
from bench.contestants.contestant import BENCH
from bench.measure.processes import family

_STOP_SECONDS = 8.0
_LOWEST_PORT, _HIGHEST_PORT = 20000, 32000


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, where, and on which cores.

    Both outputs go to `output`; without one, they are read by whoever started it.
    """

    words: list[str]
    cores: frozenset[int] | None = None
    environment: Mapping[str, str] | None = None
    directory: Path = BENCH.parent
    output: IO[bytes] | None = None


@contextlib.contextmanager
def started(command: Command) -> Iterator[subprocess.Popen[bytes]]:
    """The process, ended with its whole family at the end of the block."""
    process = subprocess.Popen(
        pinned_command(command.words, command.cores),
        stdin=subprocess.DEVNULL,
        stdout=command.output or subprocess.PIPE,
        stderr=subprocess.STDOUT if command.output else subprocess.PIPE,
        cwd=command.directory,
        env={**os.environ, "PYTHONPATH": str(BENCH.parent), **(command.environment or {})},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks the process to end, and ends what then is left of its family."""
    members = family(process.pid) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in members[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@contextlib.contextmanager
def limited(process: subprocess.Popen[bytes], seconds: float) -> Iterator[None]:
    """Kills the process when the time is over, which ends whoever reads from it too."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def free_port() -> int:
    """A port on 127.0.0.1 that nobody uses, below those that the kernel hands to clients."""
    while True:
        port = random.randint(_LOWEST_PORT, _HIGHEST_PORT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
