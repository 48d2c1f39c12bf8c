from __future__ import annotations

import itertools
import re

import pytest
from prometheus_client import CollectorRegistry

from monitoring.generate.__main__ import files
from proxy.meter.instruments import Instruments, Maker
from proxy.meter.key_instruments import KeyInstruments
from tests.monitoring.dashboards import FILES, Asked, loaded, queries, variables
from tests.monitoring.prometheus import MONITORING

NAMES = [path.name for path in FILES]
# The supervisor's own, which live in no registry, and what Prometheus adds to every target.
OTHERS = {
    *("sluice_process_up", "sluice_process_restarts_total", "sluice_draining"),
    "sluice_reductions_total",
    *("sluice_build_info", "sluice_tls_certificate_expiry_timestamp_seconds", "up"),
}
METRIC = re.compile(r"\b(?:sluice|gen_ai)_\w+")


def exported() -> set[str]:
    """The names of everything that the admin port can show, as Prometheus stores them."""
    registry = CollectorRegistry()
    Instruments(registry)
    KeyInstruments(Maker(registry))
    names = set(OTHERS)
    for family in registry.collect():
        parts = {
            "counter": ("_total",),
            "gauge": ("",),
            "histogram": ("_bucket", "_sum", "_count"),
        }[family.type]
        names |= {family.name + part for part in parts}
    return names


def metrics_in(expr: str) -> set[str]:
    """The metrics that a query names; what stands in braces or after `by` is labels."""
    bare = re.sub(r"\{[^}]*\}|\bby ?\([^)]*\)|\bon ?\([^)]*\)", "", expr)
    return set(METRIC.findall(bare))


def test_the_files_are_what_their_descriptions_make() -> None:
    """`python -m monitoring.generate` was run after the last change."""
    committed = {path.name: path.read_text() for path in FILES}
    assert committed == files()


@pytest.mark.parametrize("query", list(queries()), ids=str)
def test_every_query_asks_for_metrics_that_exist(query: Asked) -> None:
    """A renamed instrument would leave its panel empty."""
    named = metrics_in(query.expr)
    assert named
    assert named <= exported()


def test_every_instrument_is_shown_somewhere() -> None:
    """What is measured can be seen without writing a query."""
    shown = set().union(*(metrics_in(query.expr) for query in queries()))
    hidden = {name for name in exported() if not name.endswith(("_sum", "_count"))} - {"up"}
    unseen = {
        name for name in hidden - shown if name.removesuffix("_bucket") + "_count" not in shown
    }
    assert unseen == set()


@pytest.mark.parametrize("name", NAMES)
def test_queries_use_only_what_grafana_fills_in(name: str) -> None:
    """Every variable in a query is one of the dashboard's, or Grafana's own."""
    known = {*variables(loaded()[name]), "__rate_interval", "__range"}
    used = {variable for query in queries() for variable in re.findall(r"\$(\w+)", query.expr)}
    assert used <= known


@pytest.mark.parametrize("name", NAMES)
def test_panels_lie_beside_each_other(name: str) -> None:
    """No two share a cell, a number or, under one heading, a title, and all are explained."""
    panels = loaded()[name]["panels"]
    cells = [
        (place["x"] + across, place["y"] + down)
        for place in (panel["gridPos"] for panel in panels)
        for across, down in itertools.product(range(place["w"]), range(place["h"]))
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    numbers = [panel["id"] for panel in panels]
    assert len(numbers) == len(set(numbers))
    assert all(panel["description"] for panel in panels if panel["type"] != "row")


def test_dashboards_have_addresses_of_their_own() -> None:
    """A provisioned dashboard is found again by its uid."""
    uids = [document["uid"] for document in loaded().values()]
    assert len(uids) == len(set(uids)) == len(list((MONITORING / "grafana/dashboards").iterdir()))
