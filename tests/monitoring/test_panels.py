from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.appliance.running import Running, wait_until
from tests.monitoring.dashboards import Asked, filled_in, loaded, queries, several, variables
from tests.monitoring.load import KEYS, MODELS, Load
from tests.monitoring.prometheus import Prometheus, prometheus
from tests.monitoring.upstreams import upstreams

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [
    pytest.mark.monitoring,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="Prometheus is not installed (make test-monitoring)",
    ),
]

SECONDS = 15.0
PRICES = """
"house-*" = { input = 0.2, cached = 0.02, output = 0.6 }
"""


@dataclass(frozen=True)
class Observed:
    """An appliance that had work, and the Prometheus that watched it."""

    prometheus: Prometheus
    since: float
    """Seconds since the epoch."""

    def samples(self, expr: str) -> list[float]:
        """What a query gives over the whole time."""
        return self.prometheus.samples(expr, self.since, time.time())

    @cache  # noqa: B019 one lives as long as its tests
    def values(self, dashboard: str) -> Mapping[str, str]:
        """Every variable of a dashboard, with all that there is chosen by name."""
        chosen: dict[str, str] = {}
        for name, query in variables(loaded()[dashboard]).items():
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
            assert found, query
            series = filled_in(found[1], chosen)
            values = self.prometheus.ask(f"label/{found[2]}/values", **{"match[]": series})
            chosen[name] = several([value for value in values if value])
        return chosen


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A real appliance under a short mixed load, scraped every two seconds."""
    folder = tmp_path_factory.mktemp("observed")
    (folder / "prices.toml").write_text(PRICES)
    with contextlib.ExitStack() as stack:
        settings = {
            "SLUICE_UPSTREAM_URL": "",
            "SLUICE_UPSTREAMS": stack.enter_context(upstreams()),
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
            "SLUICE_PRICES": str(folder / "prices.toml"),
        }
        running = Running(folder, "-m", "proxy", "run", **settings)
        sluice = stack.enter_context(running).ready()
        watching = folder / "prometheus"
        watching.mkdir()
        watch = stack.enter_context(prometheus(watching, f"127.0.0.1:{sluice.admin_port}"))
        since = time.time()
        wait_until(lambda: watch.now("up"), "the first scrape")
        asyncio.run(Load(f"http://127.0.0.1:{sluice.port}", SECONDS, clients=32).run())
        wait_until(lambda: not sluice.status()["streams"], "the last stream's end")
        ended = time.time()
        scraped = "timestamp(sluice_slots)"
        wait_until(lambda: max(watch.now(scraped), default=0.0) > ended, "the last scrape")
        yield Observed(watch, since)


@pytest.mark.parametrize("query", list(queries()), ids=str)
@pytest.mark.parametrize("chosen", ["all", "each by name"])
def test_every_panel_has_something_to_show(observed: Observed, query: Asked, chosen: str) -> None:
    """No query is an error, and none is empty once there was traffic of every kind."""
    names = variables(loaded()[query.dashboard])
    values = observed.values(query.dashboard) if chosen != "all" else dict.fromkeys(names, ".*")
    expr = filled_in(query.expr, values)
    if query.instant:
        assert observed.prometheus.now(expr), expr
    else:
        assert observed.samples(expr), expr


def test_every_variable_offers_what_there_was(observed: Observed) -> None:
    """Models, keys and upstreams can be chosen by their names."""
    values = observed.values("sluice.json")
    assert set(KEYS) <= set(values["key"].strip("()").split("|"))
    assert "east|gone|odd|west" in values["upstream"]
    assert all(model.replace(".", r"\\.") in values["model"] for model in MODELS)


def test_every_rule_works_on_real_metrics(observed: Observed) -> None:
    """Prometheus itself finds no fault with any rule."""
    groups = observed.prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 20
    assert {(rule["name"], rule["health"]) for rule in rules if rule["health"] != "ok"} == set()


def test_the_load_was_of_every_kind(observed: Observed) -> None:
    """Outcomes that a dashboard must tell apart have all happened."""
    found = observed.prometheus.ask("label/ended_by/values")
    assert {
        "complete",
        "client_left",
        "upstream_cut",
        "error_event",
        "first_token_timeout",
        "idle_timeout",
        "shed",
        "rejected",
    } <= set(found)
    assert max(observed.samples('sluice_upstream_ejections_total{upstream="gone"}')) > 0
