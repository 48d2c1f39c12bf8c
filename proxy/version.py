"""Which Sluice this is: the version of the installed distribution, written down in one place."""

from __future__ import annotations

from functools import cache
from importlib import metadata

DISTRIBUTION = "sluice"


@cache
def version() -> str:
    """As in `pyproject.toml`; `unknown` where the package runs without being installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
