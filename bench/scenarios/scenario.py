"""What a scenario is, and what it is given."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.apparatus.cores import share_cores
from bench.apparatus.loading import Loaded, Reading, load
from bench.apparatus.running import Running, running, upstream
from bench.contestants.contestant import Contestant
from bench.upstream.pace import Pace

_SLACK_SECONDS = 60.0
_LARGEST_WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Session:
    """One contestant's turn: where it may write, on how many cores it runs, how long to look."""

    contestant: Contestant
    directory: Path
    pinned: bool
    workers: int
    quick: bool

    @contextlib.contextmanager
    def gateway(self, pace: Pace) -> Iterator[Running]:
        """The paced upstream and the contestant in front of it.

        Raises ContestantError and AbsentError.
        """
        cores = share_cores(os.sched_getaffinity(0), pinned=self.pinned)
        with (
            upstream(pace, cores) as port,
            running(self.contestant, port, self.directory, self.workers, cores) as gateway,
        ):
            yield gateway

    @contextlib.contextmanager
    def warm_gateway(self, pace: Pace, streams: int = _LARGEST_WARM_UP) -> Iterator[Running]:
        """The same, warmed up by some streams: imports, pools and compilers have done their work.

        Raises ContestantError and AbsentError.
        """
        count = min(streams, _LARGEST_WARM_UP)
        arguments = ["streams", f"--streams={count}", "--pace=20-30-0.02", "--ramp=0.5"]
        arguments += ["--settle=0", "--window=0.5", "--patience=20"]
        with self.gateway(pace) as gateway:
            self.load(arguments, gateway, lambda: None, 20)
            yield gateway

    def load(
        self, arguments: list[str], gateway: Running, probe: Callable[[], Reading], seconds: float
    ) -> Loaded[Reading]:
        """A load generator against the contestant; `seconds` is what it should take at most.

        Raises ContestantError.
        """
        cores = share_cores(os.sched_getaffinity(0), pinned=self.pinned)
        return load(arguments, gateway.target, probe, cores, seconds + _SLACK_SECONDS)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One question to a contestant, and the function that has it answered once.

    `pinned` holds the contestant to one core. `workers` is how many it starts. `most_rounds` is
    for figures that hardly differ between rounds.
    """

    name: str
    measure: Callable[[Session], dict[str, Any]]
    pinned: bool = True
    workers: int = 1
    most_rounds: int = 100
