from __future__ import annotations

from typing import Any

import pytest

from proxy.appliance.nginx_timeouts import FOREVER, MARGIN, client_silence, worker_silence
from proxy.settings import Settings


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"total_timeout_seconds": 600, "queue_timeout_seconds": 20}, 620),
        ({"total_timeout_seconds": 0, "first_token_timeout_seconds": 0}, FOREVER),
        ({"total_timeout_seconds": 0, "idle_timeout_seconds": 0}, FOREVER),
        (
            {
                "total_timeout_seconds": 0,
                "queue_timeout_seconds": 5,
                "retries": 1,
                "connect_timeout_seconds": 10,
                "first_token_timeout_seconds": 100,
                "retry_after_cap_seconds": 4,
            },
            5 + 2 * (10 + 100 + 4),
        ),
        (
            {
                "total_timeout_seconds": 0,
                "queue_timeout_seconds": 5,
                "first_token_timeout_seconds": 1,
                "idle_timeout_seconds": 5000,
            },
            5 + 5000,
        ),
        (
            {
                "total_timeout_seconds": 10,
                "queue_timeout_seconds": 5,
                "upstreams": (
                    {"name": "slow", "url": "http://a", "total_timeout_seconds": 7000},
                    {"name": "fast", "url": "http://b"},
                ),
            },
            5 + 7000,
        ),
        (
            {"upstreams": ({"name": "a", "url": "http://a", "total_timeout_seconds": 0,
                            "idle_timeout_seconds": 0},)},
            FOREVER,
        ),
    ],
)  # fmt: skip
def test_nginx_waits_longer_than_any_clock_of_the_worker(
    settings: dict[str, Any], seconds: float
) -> None:
    """The worker's own clocks, of the most patient upstream, always run out first."""
    assert worker_silence(Settings(**settings)) == min(FOREVER, seconds + MARGIN)


def test_a_slow_client_is_the_workers_to_judge() -> None:
    """It gives up on a client later than the worker does, and never if the worker never does."""
    assert client_silence(Settings(slow_client_timeout_seconds=60)) == 60 + MARGIN
    assert client_silence(Settings(slow_client_timeout_seconds=0)) == FOREVER
