"""Sluice twice: the whole appliance, and a worker alone. Meters and logs are on in both."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from bench.contestants.contestant import BENCH, AbsentError, Contestant, Launch, Place

_STREAMS_PER_CORE = 6000


def _find() -> str:
    if importlib.util.find_spec("proxy") is None:
        raise AbsentError("the proxy package is not importable")
    if not Path(BENCH.parent, "proxy", "__main__.py").exists():
        raise AbsentError("there is no sluice command")
    return "this tree"


def _environment(place: Place) -> dict[str, str]:
    most_streams = str(_STREAMS_PER_CORE * place.cores)
    return {
        "SLUICE_UPSTREAM_URL": f"http://{place.upstream}/v1",
        "SLUICE_LISTEN_ADDRESS": "127.0.0.1",
        "SLUICE_LISTEN_PORT": str(place.port),
        "SLUICE_ADMIN_PORT": str(place.second_port),
        "SLUICE_WORKERS": str(place.cores),
        "SLUICE_MAX_STREAMS": most_streams,
        "SLUICE_POOL_CONNECTIONS": most_streams,
        "SLUICE_LOG_FORMAT": "json",
        "PYTHONPATH": str(BENCH.parent),
        "TMPDIR": str(place.directory),
    }


def _appliance(place: Place) -> Launch:
    return Launch([sys.executable, "-m", "proxy", "run"], _environment(place))


def _worker(place: Place) -> Launch:
    command = [sys.executable, "-m", "proxy", "worker", "--port", str(place.port)]
    return Launch(command, _environment(place))


APPLIANCE = Contestant(
    name="appliance",
    title="Sluice, the appliance",
    configuration="`sluice run`: supervisor, nginx and one worker per core given, room for 6,000"
    " streams per core, all meters, JSON logs written to a file, everything else by default.",
    find=_find,
    launch=_appliance,
    own=True,
)

WORKER = Contestant(
    name="worker",
    title="Sluice, a worker alone",
    configuration="`sluice worker --port`: no nginx in front, room for 6,000 streams, all meters,"
    " JSON logs written to a file, one process.",
    find=_find,
    launch=_worker,
    skips={"ten-thousand": "one process may not open two descriptors for each of 10,000 streams"},
    own=True,
)
