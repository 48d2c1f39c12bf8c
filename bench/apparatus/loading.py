"""A load generator in a process of its own, and what is read elsewhere while it measures."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bench.apparatus.cores import Cores
from bench.apparatus.process import Command, limited, started
from bench.apparatus.running import ContestantError
from bench.load.target import Target

Reading = TypeVar("Reading")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Reading]):
    """The load generator's figures, and the probe's readings at its window's two edges."""

    figures: dict[str, Any]
    first: Reading
    last: Reading


def load(
    arguments: Sequence[str],
    target: Target,
    probe: Callable[[], Reading],
    cores: Cores,
    seconds: float,
) -> Loaded[Reading]:
    """Runs a load generator to its end.

    The probe is called when the generator's window begins, all streams running, and when it ends,
    before any of them does. Without a window it is called before and after the whole run.
    Raises ContestantError when the generator fails or takes longer than `seconds`.
    """
    words = [sys.executable, "-m", "bench", "load", *arguments, *target_arguments(target)]
    first = last = probe()
    with (
        started(Command(words, cores.apparatus)) as process,
        limited(process, seconds),
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "window":
                first = _read_at(event["start"], probe)
                last = _read_at(event["end"], probe)
            elif event["event"] == "result":
                return Loaded(event["figures"], first, last)
        words = process.stderr.read().decode(errors="replace").strip().splitlines()
    raise ContestantError(f"the load ended early: {words[-1] if words else 'the time was over'}")


def target_arguments(target: Target) -> list[str]:
    """A target as the load generator's command line takes it."""
    arguments = [f"--port={target.port}", f"--path={target.path}"]
    if target.model:
        arguments.append(f"--model={target.model}")
    arguments += [f"--header={name}: {value}" for name, value in target.headers.items()]
    return arguments


def _read_at(moment: int, probe: Callable[[], Reading]) -> Reading:
    time.sleep(max(0.0, (moment - time.monotonic_ns()) / 1e9))
    return probe()
