"""The naive relay: what a gateway costs that is only aiohttp, and does nothing else."""

from __future__ import annotations

import importlib.metadata
import sys

from bench.contestants.contestant import BENCH, Contestant, Launch, Place


def _launch(place: Place) -> Launch:
    script = BENCH / "contestants" / "naive_relay.py"
    return Launch([sys.executable, str(script), str(place.port), place.upstream])


NAIVE = Contestant(
    name="naive",
    title="naive aiohttp relay",
    configuration="`naive_relay.py`: aiohttp server and client on uvloop, `iter_any` to `write`, no"
    " meters, no logs, default backlog, one process.",
    find=lambda: f"aiohttp {importlib.metadata.version('aiohttp')}",
    launch=_launch,
    skips={"ten-thousand": "one process may not open two descriptors for each of 10,000 streams"},
    own=True,
)
