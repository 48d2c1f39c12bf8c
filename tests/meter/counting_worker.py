"""A process that counts like a worker: `python -m tests.meter.counting_worker DIR NUMBER HOWMANY`.

It records so many requests, says so, and stays until it is killed or its input ends.
"""

from __future__ import annotations

import sys

from proxy.meter.metrics import Metrics
from proxy.meter.multiprocess import worker_registry
from tests.meter.requests_made import answered, counted


def main() -> None:
    """Count, say so, stay."""
    directory, number, how_many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    registry = worker_registry(directory, number)
    metrics = Metrics(registry, max_models=3, directory=directory)
    metrics.levels(streams=5, waiting=1, slots=10)
    for index in range(how_many):
        metrics.record(answered(model=f"m-{index % 2}"), counted(tokens=3), 0.25)
    print("counted", flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main()
