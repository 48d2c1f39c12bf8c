"""Applies new settings to a running worker, all or nothing; running requests keep the old ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from proxy import config, shared_settings
from proxy.edge.auth import Keys
from proxy.edge.worker_state import Reload, WorkerState
from proxy.meter.prices import PricesError
from proxy.relay.timeouts import Timeouts
from proxy.settings import Settings

_log = structlog.get_logger()


async def apply(state: WorkerState, settings: Settings) -> None:
    """Swap upstreams, keys, prices and timeouts.

    Raises `ValueError` if the settings are invalid; then nothing has changed.
    """
    # 1. Build everything that may fail.
    keys = Keys(settings.all_keys)
    targets = await asyncio.to_thread(state.upstreams.targets_from, settings)
    prices = await state.telemetry.prices_from(settings)
    # 2. Swap, without an await in between, and without anything that can fail.
    state.settings = settings
    state.keys = keys
    state.upstreams.replace(targets)
    state.telemetry.replace_prices(prices, (target.name for target in targets))
    state.upstream_timeouts = {own.name: Timeouts.of(settings, own) for own in settings.upstreams}
    if state.upstreams.index == 0:
        state.key_report.apply(settings.all_keys)
    await state.upstreams.probe_anew()
    await state.limiter.apply(settings)


class WorkerReload:
    """Reloads one worker's settings on SIGHUP."""

    def __init__(self, state: WorkerState, descriptor: int | None, at_start: Settings) -> None:
        """Take the descriptor that a supervisor passes settings through; None for a lone worker.

        `at_start` are the settings as configured at the start, before sizing.
        """
        self._state = state
        self._descriptor = descriptor
        self._at_start = at_start
        self._lock = asyncio.Lock()
        if descriptor is not None:
            state.reload = Reload(shared_settings.read(descriptor)[0])
        else:
            state.reload = Reload(0)

    async def reload(self) -> None:
        """Read the settings and apply them; invalid ones change nothing and are logged."""
        async with self._lock:
            generation = self._state.reload.generation + 1
            try:
                generation, settings = await asyncio.to_thread(self._read(generation))
                await apply(self._state, settings)
            except (config.BadSettings, PricesError, ValueError, OSError) as error:
                self._state.reload = Reload(generation, str(error))
                _log.error("not_reloaded", complaint=str(error))
            else:
                self._state.reload = Reload(generation)
                _log.info("reloaded", what="upstreams, keys and prices")

    def _read(self, generation: int) -> Callable[[], tuple[int, Settings]]:
        descriptor = self._descriptor
        if descriptor is not None:
            return lambda: shared_settings.read(descriptor)

        def read() -> tuple[int, Settings]:
            settings = config.load()
            if names := shared_settings.frozen_changes(self._at_start, settings):
                # Compared with `at_start`: values chosen by sizing are not in the environment.
                _log.warning("frozen_settings", names=names, advice="A restart applies them.")
            return generation, shared_settings.merged(self._state.settings, settings)

        return read
