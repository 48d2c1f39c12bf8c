"""A worker with many models, keys and upstreams: `python -m tests.meter.full_worker DIR NUMBER`.

It counts its share of what so many models, keys and upstreams ask, failures of every common kind
among them, and ends; each worker meets every model, every key and every upstream.
"""

from __future__ import annotations

import itertools
import sys

from proxy.meter.metrics import Metrics
from proxy.meter.multiprocess import worker_registry
from proxy.meter.tally import Tally
from proxy.record import EndedBy
from tests.meter.requests_made import answered, counted

MODELS, KEYS, UPSTREAMS, WORKERS = 100, 50, 2, 4
FAILURES = (
    {"ended_by": EndedBy.CLIENT_LEFT},
    {"ended_by": EndedBy.UPSTREAM_CUT, "error": "upstream_cut"},
    {"status": 429, "upstream_status": 429},
    {"status": 400, "upstream_status": 400},
    {"status": 504, "ended_by": EndedBy.FIRST_TOKEN_TIMEOUT, "error": "first_token_timeout"},
)


def main() -> None:
    """Count a share of all combinations, and each failure for every model and every key."""
    directory, number = sys.argv[1], int(sys.argv[2])
    registry = worker_registry(directory, number)
    metrics = Metrics(registry, max_models=MODELS, directory=directory)
    # Twice as many models as there is room for, half of them seen first by each other worker.
    models = [f"acme/model-{(n + number * 50) % (2 * MODELS):03}" for n in range(2 * MODELS)]
    combinations = itertools.product(range(2 * MODELS), range(KEYS), range(UPSTREAMS))
    for combination in combinations:
        model, key, upstream = combination
        if sum(combination) % WORKERS != number:
            continue
        known = {
            "model": models[model],
            "client_key": f"team-{key}",
            "upstream": f"upstream-{upstream}",
        }
        metrics.record(answered(**known), counted(model=models[model]), 0.25)
        if key < WORKERS or model < WORKERS:
            for failure in FAILURES:
                metrics.record(answered(**(known | failure)), Tally())


if __name__ == "__main__":
    main()
