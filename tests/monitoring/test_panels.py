from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.monitoring.asks import MODELS
from tests.monitoring.clients import KEYS, LIMITED
from tests.monitoring.dashboards import Asked, filled_in, loaded, queries, variables
from tests.monitoring.prometheus import NEEDS_PROMETHEUS
from tests.monitoring.upstreams import NAMES

if TYPE_CHECKING:
    from tests.monitoring.observed import Observed

pytestmark = NEEDS_PROMETHEUS

NOTHING = {"Given up after repeated kills"}
"""Panels that are right to show 0 all the time: no worker was killed."""


@pytest.mark.parametrize("query", list(queries()), ids=str)
@pytest.mark.parametrize("chosen", ["all", "each by name"])
def test_every_panel_has_something_to_show(observed: Observed, query: Asked, chosen: str) -> None:
    """No query is an error, and none is empty or flat once there was traffic of every kind."""
    names = variables(loaded()[query.dashboard])
    values = observed.values(query.dashboard) if chosen != "all" else dict.fromkeys(names, ".*")
    # Over the whole time also where a panel shows one moment: that would be the last.
    samples = observed.samples(filled_in(query.expr, values))
    assert samples, query.expr
    assert any(samples) == (query.panel not in NOTHING), samples


def test_every_variable_offers_what_there_was(observed: Observed) -> None:
    """Models, keys and upstreams can be chosen by their names."""
    values = observed.values("sluice.json")
    known = {*KEYS, *(limited.name for limited in LIMITED)}
    assert known <= set(values["key"].strip("()").split("|"))
    assert "|".join(NAMES) in values["upstream"]
    assert all(model.replace(".", r"\\.") in values["model"] for model in MODELS)
