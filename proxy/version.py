"""Which Sluice this is: the version of the installed distribution, written down in one place."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "sluice"


def _installed() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


# Read with the module: it reads files, which must not hold an event loop up later.
VERSION = _installed()
"""As in `pyproject.toml`; `unknown` where the package runs without being installed."""
