"""The upstream and a contestant, started and answering."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.apparatus.cores import Cores
from bench.apparatus.process import Command, free_port, started
from bench.contestants.contestant import Contestant, Launch, Place
from bench.load.target import Target
from bench.upstream.pace import Pace

_POLL_SECONDS = 0.005
_ASK_SECONDS = 5.0


class ContestantError(Exception):
    """A contestant did not start or did not answer; the message ends with its own last words."""


@dataclass(frozen=True, slots=True)
class Running:
    """A contestant that answers; `root` is its first process, 0 where there is none."""

    target: Target
    root: int
    ready_seconds: float


@contextlib.contextmanager
def upstream(pace: Pace, cores: Cores) -> Iterator[int]:
    """The paced upstream in a process of its own; gives its port.

    Raises ContestantError when it does not come up.
    """
    command = [sys.executable, "-m", "bench", "upstream", "--pace", str(pace)]
    with started(Command(command, cores.apparatus)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise ContestantError("the paced upstream did not start")
        yield int(line)


@contextlib.contextmanager
def running(
    contestant: Contestant, upstream_port: int, directory: Path, workers: int, cores: Cores
) -> Iterator[Running]:
    """The contestant, from its start until the end of the block.

    Raises ContestantError, and AbsentError when its program is not there.
    """
    directory.mkdir(parents=True)
    place = Place(directory, free_port(), free_port(), upstream_port, workers)
    launch = contestant.launch(place)
    if launch is None:
        yield Running(Target("127.0.0.1", upstream_port), 0, 0.0)
        return
    log = directory / "output.log"
    with log.open("wb") as output:
        began = time.monotonic()
        command = Command(launch.command, cores.contestant, launch.environment, directory, output)
        with started(command) as process:
            target = _wait(process, launch, place, began + contestant.ready_seconds)
            yield Running(target, process.pid, time.monotonic() - began)


def ask(target: Target) -> str:
    """One plain request through the contestant to the upstream: the status, or what went wrong."""
    head, _, body = target.request("bench", stream=False).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    connection = http.client.HTTPConnection(target.host, target.port, timeout=_ASK_SECONDS)
    try:
        connection.request("POST", target.path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()
    return "200" if answer.status == 200 else f"{answer.status} {text[:200]!r}"


def _wait(
    process: subprocess.Popen[bytes], launch: Launch, place: Place, deadline: float
) -> Target:
    last = "nobody listened"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = f"it ended with code {process.returncode}"
            break
        port = _port(launch, place)
        if port:
            target = Target("127.0.0.1", port, launch.path, launch.model, launch.headers)
            last = ask(target)
            if last == "200":
                return target
        time.sleep(_POLL_SECONDS)
    raise ContestantError(f"never ready: {last}{_last_words(place.directory / 'output.log')}")


def _port(launch: Launch, place: Place) -> int:
    if launch.port_file is None:
        return place.port
    with contextlib.suppress(OSError, ValueError):
        return int(launch.port_file.read_text(encoding="utf-8"))
    return 0


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return "; it said: " + " | ".join(line.strip()[:200] for line in lines[-3:]) if lines else ""
