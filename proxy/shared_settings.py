"""The settings as a supervisor hands them to its workers: in memory that only these processes have.

So a worker that is started again, or told to reload, has what the supervisor has checked and not
what a file says meanwhile; and no secret is written to a disk. `memfd_create(2)`: the descriptor is
inherited.
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
"""The settings that SIGHUP reads anew; all others are frozen after the start."""


def write(descriptor: int, generation: int, settings: Settings) -> None:
    """Put the settings there, as the reload of this number."""
    data = pickle.dumps((generation, settings))
    # Its length first, and all at once: a reader never meets half of it.
    os.pwrite(descriptor, len(data).to_bytes(8, "big") + data, 0)


def read(descriptor: int) -> tuple[int, Settings]:
    """The number of the latest reload, 0 at the start, and the settings."""
    length = int.from_bytes(os.pread(descriptor, 8, 0), "big")
    found: tuple[int, Settings] = pickle.loads(os.pread(descriptor, length, 8))  # noqa: S301 the supervisor's own
    return found


def merged(current: Settings, read_anew: Settings) -> Settings:
    """The current settings with those of a reload that may change."""
    return current.model_copy(update={name: getattr(read_anew, name) for name in RELOADED})


def frozen_changes(at_start: Settings, read_anew: Settings) -> list[str]:
    """The settings that have another value now, and keep the one that they were started with."""
    return [
        f"SLUICE_{name.upper()}"
        for name in type(at_start).model_fields
        if name not in RELOADED and getattr(at_start, name) != getattr(read_anew, name)
    ]
