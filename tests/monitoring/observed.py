"""A real appliance under load, and the Prometheus that watched it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.appliance.running import Running, children_of, wait_until
from tests.fixtures.ports import free_port
from tests.monitoring.clients import KEYS, settings
from tests.monitoring.dashboards import filled_in, loaded, several, variables
from tests.monitoring.load import Load
from tests.monitoring.prometheus import Prometheus, prometheus
from tests.monitoring.upstreams import upstreams
from tests.nginx import pem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECONDS = 16.0
FROZEN_SECONDS = 3.0
"""How long the store says nothing before it dies: longer than a scrape's interval."""
CERTIFICATE_DAYS = 10
PRICES = """
"house-*" = { input = 0.2, cached = 0.02, output = 0.6 }
"""


@dataclass(frozen=True, eq=False)
class Observed:
    """An appliance that had work, what its clients saw, and the Prometheus that watched it."""

    prometheus: Prometheus
    load: Load
    since: float
    until: float
    """When it began and ended, in seconds since the epoch."""

    def samples(self, expr: str) -> list[float]:
        """What a query gives over the whole time."""
        return self.prometheus.samples(expr, self.since, self.until)

    def in_the_end(self, expr: str, label: str) -> dict[str, float]:
        """What a query gives when all is over, by one label."""
        result = self.prometheus.ask("query", query=expr, time=self.until)["result"]
        return {series["metric"].get(label, ""): float(series["value"][1]) for series in result}

    @cache  # noqa: B019 one lives as long as its tests
    def values(self, dashboard: str) -> Mapping[str, str]:
        """Every variable of a dashboard, with all that there is chosen by name."""
        chosen: dict[str, str] = {}
        for name, query in variables(loaded()[dashboard]).items():
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
            assert match, query
            series = filled_in(match[1], chosen)
            values = self.prometheus.ask(f"label/{match[2]}/values", **{"match[]": series})
            chosen[name] = several([value for value in values if value])
        return chosen


@contextlib.contextmanager
def observed(folder: Path) -> Iterator[Observed]:
    """One that had a short mixed load, scraped every two seconds; at work no more."""
    tls_port = free_port()
    with contextlib.ExitStack() as stack:
        urls = stack.enter_context(upstreams())
        running = Running(folder, "-m", "proxy", "run", **_settings(folder, urls, tls_port))
        sluice = stack.enter_context(running).ready()
        watching = folder / "prometheus"
        watching.mkdir()
        watch = stack.enter_context(prometheus(watching, f"127.0.0.1:{sluice.admin_port}"))
        wait_until(lambda: watch.now("up"), "the first scrape")
        since = time.time()
        load = Load(
            (f"http://127.0.0.1:{sluice.port}", f"https://127.0.0.1:{tls_port}"),
            SECONDS,
            clients=20,
            outage=lambda: _take_the_store_away(sluice),
        )
        asyncio.run(load.run())
        wait_until(lambda: not sluice.status()["streams"], "the last stream's end")
        ended = time.time()
        scraped = "timestamp(sluice_slots)"
        wait_until(lambda: max(watch.now(scraped), default=0.0) > ended, "the last scrape")
        yield Observed(watch, load, since, time.time())


def _settings(folder: Path, urls: str, tls_port: int) -> dict[str, str]:
    (folder / "prices.toml").write_text(PRICES)
    end = datetime.now(UTC) + timedelta(days=CERTIFICATE_DAYS)
    return {
        "SLUICE_UPSTREAM_URL": "",
        "SLUICE_UPSTREAMS": urls,
        "SLUICE_WORKERS": "2",
        "SLUICE_MAX_STREAMS": "16",
        "SLUICE_QUEUE_SIZE": "8",
        "SLUICE_QUEUE_TIMEOUT_SECONDS": "1",
        "SLUICE_FIRST_TOKEN_TIMEOUT_SECONDS": "2",
        "SLUICE_IDLE_TIMEOUT_SECONDS": "1",
        "SLUICE_RETRY_AFTER_CAP_SECONDS": "0.5",
        "SLUICE_EJECT_AFTER_FAILURES": "3",
        "SLUICE_EJECT_SECONDS": "4",
        "SLUICE_ON_CLIENT_LEFT": "drain",
        "SLUICE_CLIENT_KEYS": json.dumps(KEYS),
        "SLUICE_KEYS": json.dumps(settings()),
        "SLUICE_PRICES": str(folder / "prices.toml"),
        "SLUICE_TLS_PORT": str(tls_port),
        "SLUICE_TLS_CERTIFICATE": pem.ending(pem.ONE, folder, f"{end:%Y%m%d%H%M%SZ}".encode()),
        "SLUICE_TLS_KEY": pem.ONE.key,
    }


def _take_the_store_away(sluice: Running) -> None:
    """Silent for a while, then dead; its supervisor starts another, which knows nothing."""
    store = next(pid for pid in children_of(sluice.process.pid) if _is_store(pid))
    os.kill(store, signal.SIGSTOP)
    time.sleep(FROZEN_SECONDS)
    os.kill(store, signal.SIGKILL)


def _is_store(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().startswith(("valkey-server", "redis-server"))
