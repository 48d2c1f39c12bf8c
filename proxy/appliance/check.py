"""`sluice check`: prints the settings, and what would keep `sluice run` from starting."""

# ruff: noqa: T201 - it prints for people
from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import structlog

from proxy import config, store_address
from proxy.appliance.monitor import CannotStart
from proxy.appliance.preflight import certificate_warnings, preflight
from proxy.appliance.run_directory import run_directory
from proxy.state.backend import backend_for
from proxy.state.error_map import StoreUnavailable

if TYPE_CHECKING:
    from proxy.settings import Settings


def run(settings: Settings, bad_settings: int) -> int:
    """Print the settings and their problems. Return `bad_settings` if Sluice would not start."""
    print(config.as_json(settings))
    # Silence preflight's log lines: the same warnings are printed below.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        with run_directory() as directory:
            preflight(settings, directory)
    except (CannotStart, OSError) as error:
        print(f"sluice: `sluice run` would not start.\n{error}", file=sys.stderr)
        return bad_settings
    for warning in [*certificate_warnings(settings), *_store_warnings(settings)]:
        print(f"sluice: warning: {warning}", file=sys.stderr)
    return 0


def _store_warnings(settings: Settings) -> list[str]:
    url = settings.store_url.get_secret_value() if settings.store_url is not None else ""
    if url in {"", store_address.OFF}:
        return []
    address = store_address.parse(url)
    try:
        asyncio.run(_connect(address))
    except StoreUnavailable as error:
        return [f"SLUICE_STORE_URL: {address.shown} cannot be used now: {error}."]
    return []


async def _connect(address: store_address.StoreAddress) -> None:
    backend = backend_for(address, 1)
    try:
        await backend.connect()
    finally:
        await backend.close()
