"""One appliance under load for all tests here that query Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.monitoring.observed import Observed
from tests.monitoring.observed import observed as one_observed

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Run an appliance under load and a Prometheus that scrapes it."""
    with one_observed(tmp_path_factory.mktemp("observed")) as running:
        yield running
