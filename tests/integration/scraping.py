"""Scrapes of the metrics, as Prometheus makes them."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from prometheus_client.parser import text_string_to_metric_families

# A scrape costs a core a while, and what is watched needs that core too.
_BETWEEN_SECONDS = 0.25
Key = tuple[str, tuple[tuple[str, str], ...]]


class Scrape:
    """One response of `/metrics`."""

    def __init__(self, text: str) -> None:
        self.samples: dict[Key, float] = {}
        self.growing: dict[Key, float] = {}
        """Return the counters, and the counts, sums and buckets of histograms."""
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in self.samples, f"{key} stands there twice"
                self.samples[key] = sample.value
                if family.type in {"counter", "histogram"} and not sample.name.endswith("_created"):
                    self.growing[key] = sample.value

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all time series of a name that have these labels."""
        return sum(value for _, value in self.by(name, **labels))

    def by(self, name: str, **labels: str) -> Iterator[tuple[dict[str, str], float]]:
        """Return the time series of a name that have these labels."""
        for (metric, pairs), value in self.samples.items():
            own = dict(pairs)
            if metric == name and labels.items() <= own.items():
                yield own, value

    def never_went_down_since(self, before: Scrape) -> None:
        """Check that no counter has decreased or disappeared."""
        for key, value in before.growing.items():
            assert self.growing.get(key, -1.0) >= value, f"{key} went down"


async def scrape(admin_url: str) -> Scrape:
    """Scrape the admin port."""
    return Scrape(await asyncio.to_thread(_fetched, f"{admin_url}/metrics"))


@asynccontextmanager
async def watched(admin_url: str) -> AsyncIterator[list[Scrape]]:
    """Scrape repeatedly in the background, and check that no counter ever decreases."""
    seen = [await scrape(admin_url)]
    stop = asyncio.Event()

    async def watch() -> None:
        while not stop.is_set():
            seen.append(await scrape(admin_url))
            seen[-1].never_went_down_since(seen[-2])
            await asyncio.sleep(_BETWEEN_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        stop.set()
        await watching


def _fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text
