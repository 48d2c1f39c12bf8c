"""The version of the installed distribution, which is defined in one place."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "sluice"


def _installed() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"


# Read when the module is imported: reading files later would block an event loop.
VERSION = _installed()
"""The version in `pyproject.toml`; `unknown` if the package is not installed."""
