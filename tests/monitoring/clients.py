"""The keys of the load's clients: two without limits, and one for each limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.monitoring.asks import LONG

KEYS = {"web-shop": "key-of-the-web-shop", "support": "key-of-support"}
"""Keys without limits, by name."""

READING = "phone-app"
"""The key of those who break off and read on; its budget is not spent in a test."""


@dataclass(frozen=True)
class Limited:
    """A key whose clients ask for more than it may, the limit that says no, and what they ask."""

    name: str
    limit: str
    most: float
    demo: str
    clients: int = 1

    @property
    def key(self) -> str:
        return f"key-of-{self.name}"


LIMITED = (
    Limited("intern", "requests_per_minute", 4, "tokens=3"),
    Limited("batch", "tokens_per_minute", 600, "tokens=150;rate=600"),
    # Three clients for one place, of whom the last waits longer than the line is long.
    Limited("narrow", "max_streams", 1, LONG, clients=3),
    Limited("trial", "budget_usd", 0.00005, "tokens=20"),
)


def settings() -> list[dict[str, Any]]:
    """The value of `SLUICE_KEYS`."""
    reading = {"name": READING, "key": f"key-of-{READING}", "budget_usd": 50, "max_streams": 500}
    return [
        reading,
        *(
            {"name": limited.name, "key": limited.key, limited.limit: limited.most}
            for limited in LIMITED
        ),
    ]
