from __future__ import annotations

import tomllib
from pathlib import Path

from proxy.version import DISTRIBUTION, VERSION


def test_the_version_is_that_of_the_project() -> None:
    """It stands in one place, and everything that names it reads it there."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["version"]) == (DISTRIBUTION, VERSION)
