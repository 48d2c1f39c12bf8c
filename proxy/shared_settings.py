"""Passes the settings from a supervisor to its workers, in memory that only they share.

So a worker that restarts or reloads uses the settings that the supervisor has checked, even if a
file has changed since, and no secret is written to a disk. The memory is a memfd
(`memfd_create(2)`), whose descriptor the workers inherit.
"""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.settings import Settings

RELOADED = (
    "upstream_url",
    "upstream_api_key",
    "upstream_ca",
    "upstreams",
    "client_keys",
    "keys",
    "key_defaults",
    "prices",
    "tls_certificate",
    "tls_key",
)
"""The settings that SIGHUP reloads; all others are frozen after the start."""


def write(descriptor: int, generation: int, settings: Settings) -> None:
    """Write the settings with the number of their reload."""
    data = pickle.dumps((generation, settings))
    # The length comes first, in the same write: a reader never sees a part.
    os.pwrite(descriptor, len(data).to_bytes(8, "big") + data, 0)


def read(descriptor: int) -> tuple[int, Settings]:
    """Return the number of the latest reload (0 at the start) and the settings."""
    length = int.from_bytes(os.pread(descriptor, 8, 0), "big")
    shared: tuple[int, Settings] = pickle.loads(os.pread(descriptor, length, 8))  # noqa: S301 the supervisor's own
    return shared


def merged(current: Settings, reloaded: Settings) -> Settings:
    """Return the current settings, updated by those that a reload may change."""
    return current.model_copy(update={name: getattr(reloaded, name) for name in RELOADED})


def frozen_changes(at_start: Settings, reloaded: Settings) -> list[str]:
    """Return the frozen settings whose values have changed, which only a restart applies."""
    return [
        f"SLUICE_{name.upper()}"
        for name in type(at_start).model_fields
        if name not in RELOADED and getattr(at_start, name) != getattr(reloaded, name)
    ]
